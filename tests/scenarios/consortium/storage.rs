//! A disk that takes no more.

use super::ALL;
use entrepot_tests::consortium::{Consortium, wait};

/// No file of the member may grow past this. The chain's database writes about a kilobyte a block, so this is full within seconds.
const FILE_BYTES_MAX: u64 = 256 << 10;

#[tokio::test(flavor = "multi_thread")]
async fn a_member_whose_disk_is_full_ends_and_comes_back_without_a_loss() {
    let mut consortium = Consortium::start().await;
    consortium.nodes[1].process.limit_files(Some(FILE_BYTES_MAX));
    consortium.nodes[1].restart(None);
    consortium.nodes[1].ready().await;
    let load = consortium.load();
    wait("the disk does not become full", async || consortium.nodes[1].process.ended()).await;
    consortium.nodes[1].ends_with("the disk is full, or a file may not grow").await;
    let before = load.count();
    wait("the others do not go on", async || (load.count() > before + 20).then_some(())).await;
    consortium.nodes[1].process.limit_files(None);
    consortium.nodes[1].restart(None);
    consortium.nodes[1].ready().await;
    let acknowledged = consortium.finish(load).await;
    consortium.agree(&ALL, 1).await;
    consortium.holds(&ALL, &acknowledged).await;
}
