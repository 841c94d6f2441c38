//! The link arguments of recipe 1.

fn main() {
    for arg in ["-nostdlib", "-static", "-Wl,-z,norelro"] {
        println!("cargo:rustc-link-arg-bins={arg}");
    }
}
