//! Compiles the .proto files with protox: no protoc needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = protox::compile(["proto/entrepot/v1/workforce.proto"], ["proto"])?;
    // Without its transport helpers: the one named `connect` would clash with the call of that name.
    tonic_prost_build::configure().build_transport(false).compile_fds(files)?;
    println!("cargo::rerun-if-changed=proto");
    Ok(())
}
