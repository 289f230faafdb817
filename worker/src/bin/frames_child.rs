//! The CSV reader as a program of its own, for this crate's tests; a worker starts itself with the argument `frames-child`.

fn main() -> std::process::ExitCode {
    entrepot_worker::frames::child_main()
}
