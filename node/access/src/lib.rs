//! Pure authorization: may this subject do this action on this object.
#![forbid(unsafe_code)]
