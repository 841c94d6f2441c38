//! Status codes with their reason phrases, as they stand in a status line.

pub const OK: &str = "200 OK";
pub const PARTIAL_CONTENT: &str = "206 Partial Content";
pub const MOVED: &str = "301 Moved Permanently";
pub const NOT_MODIFIED: &str = "304 Not Modified";
pub const BAD_REQUEST: &str = "400 Bad Request";
pub const FORBIDDEN: &str = "403 Forbidden";
pub const NOT_FOUND: &str = "404 Not Found";
pub const METHOD_NOT_ALLOWED: &str = "405 Method Not Allowed";
pub const TIMEOUT: &str = "408 Request Timeout";
pub const LENGTH_REQUIRED: &str = "411 Length Required";
pub const BODY_TOO_LARGE: &str = "413 Content Too Large";
pub const RANGE: &str = "416 Range Not Satisfiable";
pub const EXPECTATION_FAILED: &str = "417 Expectation Failed";
pub const HEAD_TOO_LARGE: &str = "431 Request Header Fields Too Large";
pub const INTERNAL: &str = "500 Internal Server Error";
pub const NOT_IMPLEMENTED: &str = "501 Not Implemented";
pub const UNAVAILABLE: &str = "503 Service Unavailable";
pub const VERSION: &str = "505 HTTP Version Not Supported";
