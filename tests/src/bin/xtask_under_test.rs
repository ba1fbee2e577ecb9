//! The product, built beside the tests so that Cargo gives them its path.

fn main() -> std::process::ExitCode {
    xtask::main_impl()
}
