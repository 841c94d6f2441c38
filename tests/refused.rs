//! What the macros that make a program refuse, each beside a program that differs by a word and is built. What the
//! compiler refuses in libraries is in `src/refused.rs`.

#[path = "support/package.rs"]
mod package;

use package::{ROOT, scratch, try_cargo, write};

/// Checks a freestanding program of this source; what the compiler says, or `None` if it has nothing to say.
fn refusal(name: &str, source: &str) -> Option<String> {
    let package = scratch().join("refused").join(name);
    let manifest = format!(
        "[package]\nname = {name:?}\nversion = \"0.0.0\"\nedition = \"2024\"\n\
         [dependencies]\nnetpoll = {{ path = {ROOT:?} }}\n\
         [[bin]]\nname = {name:?}\npath = \"main.rs\"\ntest = false\n\
         [profile.dev]\npanic = \"abort\"\n[workspace]\n"
    );
    write(&package.join("Cargo.toml"), &manifest);
    write(
        &package.join("main.rs"),
        &format!(
            "#![no_std]
#![no_main]
{source}"
        ),
    );
    let output = try_cargo(&package, &["check"]);
    (!output.status.success()).then(|| String::from_utf8(output.stderr).unwrap())
}

/// `source` is refused with the error `code`, and is not with `to` in place of `from`.
#[track_caller]
fn refused(name: &str, source: &str, code: &str, (from, to): (&str, &str)) {
    let why = refusal(name, source).unwrap_or_else(|| panic!("not refused: {source}"));
    assert!(why.contains(&format!("error[{code}]")), "{why}");
    assert!(source.contains(from));
    assert_eq!(refusal(&format!("{name}-twin"), &source.replace(from, to)), None);
}

/// The expression for the builder was within the macro's `unsafe`.
#[test]
fn unsafe_in_the_builder_needs_the_word() {
    let source = "netpoll::entry!(main, builder());
                  unsafe fn builder() -> netpoll::Builder { netpoll::Builder::new() }
                  fn main(_: netpoll::rt::Env) -> i32 { 0 }";
    refused("unsafe-builder", source, "E0133", ("unsafe fn", "fn"));
}

/// And so may be the path of the function.
#[test]
fn unsafe_in_the_path_of_main_needs_the_word() {
    for macro_name in ["entry", "start"] {
        let source = format!(
            "netpoll::{macro_name}!(MAIN);
             static mut MAIN: fn(netpoll::rt::Env) -> i32 = |_| 0;"
        );
        refused(&format!("unsafe-{macro_name}"), &source, "E0133", ("static mut", "static"));
    }
}

/// `sym` takes a function of any type.
#[test]
fn start_takes_a_function_of_the_right_type() {
    let source = "netpoll::__netpoll_start!(begin);
                  extern \"C\" fn begin(_: &str) -> ! { loop {} }
                  #[panic_handler]
                  fn panic(_: &core::panic::PanicInfo<'_>) -> ! { loop {} }";
    refused("wrong-start", source, "E0308", ("&str", "*const usize"));
}

/// Names of items in a macro are not hygienic.
#[test]
fn main_may_have_any_name() {
    for name in ["begin", "panic", "program", "block", "main", "run"] {
        for macro_name in ["entry", "start"] {
            let source = format!(
                "netpoll::{macro_name}!({name});
                 fn {name}(_: netpoll::rt::Env) -> i32 {{ 0 }}"
            );
            assert_eq!(refusal("names", &source), None, "{source}");
        }
    }
}
