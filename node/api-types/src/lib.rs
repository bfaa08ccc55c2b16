//! Request and answer types shared by the HTTP server and its clients.
#![forbid(unsafe_code)]
