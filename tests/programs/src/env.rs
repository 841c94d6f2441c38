//! What the kernel told the program.

use netpoll::println;
use netpoll::rt::Env;

/// Prints all of it, one entry a line.
pub fn tell(env: Env) -> i32 {
    for arg in env.args() {
        println!("arg {}", arg.to_str().unwrap());
    }
    for var in env.vars() {
        println!("var {}", var.to_str().unwrap());
    }
    for (key, value) in env.auxv() {
        println!("aux {key} {value}");
    }
    println!("end {} {}", env.args().len(), env.vars().count());
    0
}
