//! The log in pieces that anyone may copy and keep: whoever has all of them needs no proofs from us.

use crate::{Problem, error::ProblemBody, log::LogState};
use axum::{
    extract::Path,
    http::header,
    response::{IntoResponse, Response},
};
use entrepot_chain_log::Tile;
use entrepot_exchange_domain::RefusalKind;
use utoipa::ToSchema;

/// The bytes of a tile.
#[derive(ToSchema)]
#[schema(as = LogTile, value_type = String, format = Binary)]
#[expect(dead_code, reason = "says to the document what the bytes are")]
pub(super) struct TileBody(Vec<u8>);

/// A tile never changes.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// Read a tile of the log (C2SP tlog-tiles): 256 hashes or entries, fewer with `.p/{width}`. The path may hold slashes.
#[utoipa::path(
    get,
    path = "/v1/log/tile/{path}",
    tag = "log",
    operation_id = "get_log_tile",
    params(("path" = String, Path, description = "As in `0/x001/x234/067`, `1/000.p/5` or `entries/000`.")),
    responses(
        (status = 200, description = "Hashes of 32 bytes, or entries, each with its length in two bytes.", body = TileBody, content_type = "application/octet-stream"),
        (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn handler(log: LogState, Path(path): Path<String>) -> Result<Response, Problem> {
    let tile: Tile = path.parse().map_err(|error: entrepot_chain_log::TilePathError| {
        Problem::new(RefusalKind::NotFound, "no_such_tile", error.to_string()).hint("paths are those of c2sp.org/tlog-tiles")
    })?;
    let missing = || {
        Problem::new(RefusalKind::NotFound, "no_such_tile", "the log does not cover this tile yet")
            .hint("a checkpoint tells which tiles there are; of the last one in a row, ask for a part: `.p/{width}`")
    };
    let bytes = log.tile(&tile).await?.ok_or_else(missing)?;
    Ok(([(header::CONTENT_TYPE, "application/octet-stream"), (header::CACHE_CONTROL, FOR_EVER)], bytes).into_response())
}
