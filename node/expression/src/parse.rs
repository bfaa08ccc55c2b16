//! Reads tokens into the parsed form: precedence climbing, with bounded depth and size.

use crate::ast::{Ast, AstKind, Binary, Fold, WORDS};
use crate::token::{Token, tokens};
use crate::{DEPTH_MAX, ErrorCode, ExpressionError, PARTS_MAX};

type Parsed = Result<Ast, ExpressionError>;

pub(crate) fn parse(text: &str) -> Parsed {
    let mut reader = Reader { tokens: tokens(text)?, next: 0, parts: 0, depth: 0 };
    let ast = reader.expression()?;
    match reader.peek() {
        Token::End => Ok(ast),
        _ => reader.fail("something follows the expression"),
    }
}

struct Reader {
    tokens: Vec<(usize, Token)>,
    next: usize,
    parts: usize,
    depth: usize,
}

impl Reader {
    fn peek(&self) -> &Token {
        self.tokens.get(self.next).map_or(&Token::End, |(_, t)| t)
    }

    fn at(&self) -> usize {
        self.tokens.get(self.next).or(self.tokens.last()).map_or(0, |(at, _)| *at)
    }

    fn fail<T>(&self, detail: impl Into<String>) -> Result<T, ExpressionError> {
        Err(ExpressionError::new(self.at(), ErrorCode::Syntax, detail))
    }

    fn sign(&mut self, sign: &str) -> bool {
        let here = matches!(self.peek(), Token::Sign(s) if *s == sign);
        self.next += usize::from(here);
        here
    }

    fn word(&mut self, word: &str) -> bool {
        let here = matches!(self.peek(), Token::Name(n) if n == word);
        self.next += usize::from(here);
        here
    }

    fn need(&mut self, sign: &str) -> Result<(), ExpressionError> {
        if self.sign(sign) { Ok(()) } else { self.fail(format!("{sign:?} is needed")) }
    }

    fn make(&mut self, at: usize, kind: AstKind) -> Parsed {
        self.parts += 1;
        if self.parts > PARTS_MAX {
            return Err(ExpressionError::new(at, ErrorCode::Size, format!("more than {PARTS_MAX} parts")));
        }
        Ok(Ast { at, kind })
    }

    fn expression(&mut self) -> Parsed {
        if self.depth >= DEPTH_MAX {
            return Err(ExpressionError::new(
                self.at(),
                ErrorCode::Size,
                format!("nested deeper than {DEPTH_MAX}"),
            ));
        }
        self.depth += 1;
        let found = self.whole();
        self.depth -= 1;
        found
    }

    fn whole(&mut self) -> Parsed {
        let at = self.at();
        if self.word("if") {
            let condition = self.expression()?;
            if !self.word("then") {
                return self.fail("\"then\" is needed");
            }
            let yes = self.expression()?;
            if !self.word("else") {
                return self.fail("\"else\" is needed: every expression comes to something");
            }
            let no = self.expression()?;
            return self.make(at, AstKind::If(Box::new(condition), Box::new(yes), Box::new(no)));
        }
        let left = self.level(0)?;
        if !self.word("implies") {
            return Ok(left);
        }
        let right = self.expression()?;
        self.make(at, AstKind::Binary(Binary::Implies, Box::new(left), Box::new(right)))
    }

    /// Operators that bind alike, the loosest first.
    fn operator(&mut self, level: usize) -> Option<Binary> {
        let found = match (level, self.peek()) {
            (0, Token::Name(n)) if n == "or" => Binary::Or,
            (1, Token::Name(n)) if n == "and" => Binary::And,
            (3, Token::Sign("??")) => Binary::Otherwise,
            (4, Token::Sign("+")) => Binary::Add,
            (4, Token::Sign("-")) => Binary::Subtract,
            (5, Token::Sign("*")) => Binary::Multiply,
            _ => return None,
        };
        self.next += 1;
        Some(found)
    }

    fn level(&mut self, level: usize) -> Parsed {
        let at = self.at();
        if level == 2 {
            return self.comparison();
        }
        if level == 6 {
            return self.unary();
        }
        let mut left = self.level(level + 1)?;
        while let Some(operator) = self.operator(level) {
            let right = self.level(level + 1)?;
            left = self.make(at, AstKind::Binary(operator, Box::new(left), Box::new(right)))?;
        }
        Ok(left)
    }

    /// `not`, one comparison or one `in`: they do not chain.
    fn comparison(&mut self) -> Parsed {
        let at = self.at();
        if self.word("not") {
            self.deeper()?;
            let what = self.comparison()?;
            self.depth -= 1;
            return self.make(at, AstKind::Not(Box::new(what)));
        }
        let left = self.level(3)?;
        if self.word("in") {
            let set = self.set()?;
            return self.make(at, AstKind::In(Box::new(left), Box::new(set)));
        }
        let operator = match self.peek() {
            Token::Sign("==") => Binary::Equal,
            Token::Sign("!=") => Binary::Different,
            Token::Sign("<") => Binary::Less,
            Token::Sign("<=") => Binary::LessOrEqual,
            Token::Sign(">") => Binary::Greater,
            Token::Sign(">=") => Binary::GreaterOrEqual,
            _ => return Ok(left),
        };
        self.next += 1;
        let right = self.level(3)?;
        self.make(at, AstKind::Binary(operator, Box::new(left), Box::new(right)))
    }

    fn deeper(&mut self) -> Result<(), ExpressionError> {
        self.depth += 1;
        if self.depth <= DEPTH_MAX {
            return Ok(());
        }
        Err(ExpressionError::new(self.at(), ErrorCode::Size, format!("nested deeper than {DEPTH_MAX}")))
    }

    fn set(&mut self) -> Parsed {
        let at = self.at();
        if !self.sign("[") {
            return self.path();
        }
        let mut items = Vec::new();
        loop {
            let item = self.unary()?;
            items.push(item);
            if self.sign("]") {
                return self.make(at, AstKind::List(items));
            }
            self.need(",")?;
        }
    }

    fn unary(&mut self) -> Parsed {
        let at = self.at();
        if !self.sign("-") {
            return self.primary();
        }
        self.deeper()?;
        let what = self.unary()?;
        self.depth -= 1;
        self.make(at, AstKind::Negative(Box::new(what)))
    }

    fn primary(&mut self) -> Parsed {
        let at = self.at();
        match self.peek().clone() {
            Token::Number(digits) => {
                self.next += 1;
                self.make(at, AstKind::Number(digits))
            }
            Token::Text(text) => {
                self.next += 1;
                self.make(at, AstKind::Text(text))
            }
            Token::Sign("(") => {
                self.next += 1;
                let inner = self.expression()?;
                self.need(")")?;
                Ok(inner)
            }
            Token::Name(name) => self.named(at, &name),
            Token::End => self.fail("the expression ends where a value is needed"),
            Token::Sign(_) => self.fail("a value is needed"),
        }
    }

    fn named(&mut self, at: usize, name: &str) -> Parsed {
        if name == "true" || name == "false" {
            self.next += 1;
            return self.make(at, AstKind::Bool(name == "true"));
        }
        if !matches!(self.tokens.get(self.next + 1), Some((_, Token::Sign("(")))) {
            return self.path();
        }
        if WORDS.contains(&name) {
            return self.fail(format!("{name:?} is no function"));
        }
        self.next += 2;
        if let Some(fold) = Fold::named(name)
            && let (Some((_, Token::Name(var))), Some((_, Token::Name(word)))) =
                (self.tokens.get(self.next), self.tokens.get(self.next + 1))
            && word == "in"
        {
            let var = var.clone();
            return self.fold(at, fold, var);
        }
        let mut arguments = Vec::new();
        if !self.sign(")") {
            loop {
                let argument = self.expression()?;
                arguments.push(argument);
                if self.sign(")") {
                    break;
                }
                self.need(",")?;
            }
        }
        self.make(at, AstKind::Call(name.to_owned(), arguments))
    }

    fn fold(&mut self, at: usize, fold: Fold, var: String) -> Parsed {
        if WORDS.contains(&var.as_str()) {
            return self.fail(format!("{var:?} is a word of the language"));
        }
        self.next += 2;
        let over = self.path()?;
        self.need(":")?;
        let body = self.expression()?;
        self.need(")")?;
        self.make(at, AstKind::Fold { fold, var, over: Box::new(over), body: Box::new(body) })
    }

    fn path(&mut self) -> Parsed {
        let at = self.at();
        let mut names = Vec::new();
        loop {
            let Token::Name(name) = self.peek().clone() else { return self.fail("a name is needed") };
            let word = WORDS.contains(&name.as_str());
            if word && !(names.is_empty() && matches!(name.as_str(), "this" | "body" | "param")) {
                return self.fail(format!("{name:?} is a word of the language"));
            }
            self.next += 1;
            names.push(name);
            if !self.sign(".") {
                return self.make(at, AstKind::Path(names));
            }
        }
    }
}
