//! Tells the tests whether the vendor's SDK is there: where it is not, the runner counts the tests that need it as ignored.
//! Links the program under test as the product is linked.

#![expect(clippy::disallowed_methods, reason = "a build script reads its environment and asks the compiler")]

#[path = "../xtask/build/functions.rs"]
mod functions;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../xtask/build/functions.rs");
    println!("cargo::rerun-if-env-changed=LICENSE_TESTS_PYTHON");
    println!("cargo::rustc-check-cfg=cfg(vendor_sdk)");
    if std::env::var_os("LICENSE_TESTS_PYTHON").is_some_and(|python| !python.is_empty()) {
        println!("cargo::rustc-cfg=vendor_sdk");
    }
    functions::put_together("../xtask/functions.ld");
}
