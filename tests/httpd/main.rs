//! The program `httpd`, from outside: real sockets, real files. And its parts that compute, for which a
//! freestanding program has no test harness of its own.

#[path = "../support/activation.rs"]
mod activation;
#[path = "../support/again.rs"]
mod again;
#[path = "../../src/bin/httpd/args.rs"]
#[allow(dead_code)] // the usage line
mod args;
#[path = "../../src/bin/httpd/cache.rs"]
mod cache;
#[path = "../../src/bin/httpd/clock.rs"]
#[allow(dead_code)] // `Moment` is what the cache needs
mod clock;
#[path = "../../src/bin/httpd/date.rs"]
mod date;
#[path = "../../src/bin/httpd/mime.rs"]
mod mime;
#[path = "../../src/bin/httpd/range.rs"]
mod range;
#[path = "../support/refuse.rs"]
mod refuse;
#[path = "../../src/bin/httpd/request.rs"]
mod request;
#[path = "../../src/bin/httpd/status.rs"]
#[allow(dead_code)] // the program uses them all
mod status;
#[path = "../../src/bin/httpd/text.rs"]
mod text;

mod answers;
mod connections;
mod ending;
mod escapes;
mod keeping;
mod noise;
mod parts;
mod process;
mod refusals;
mod sandbox;
mod server;
mod taken_over;
