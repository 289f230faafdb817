//! Frames that are wrong, late, cut or missing: a typed error, never a panic and never a silent wrong share where two holders can compare.

mod interference;

use bytes::Bytes;
use entrepot_mpc_protocol::{
    Channel, ChannelError, Context, Party, ProtocolError, memory,
    replicated::{self, Arithmetic},
};
use interference::{View, interfere, listen};
use std::sync::Arc;

/// Input, product, opening; the errors of the three parties.
async fn errors(channels: [Arc<dyn Channel>; 3]) -> [Option<ProtocolError>; 3] {
    memory::run_over(channels, 11, |mut ctx: Context| async move {
        let values = (ctx.party() == Party::ZERO).then(|| vec![3; 10]);
        let work = async {
            let x = replicated::input::<Arithmetic>(&mut ctx, Party::ZERO, values.as_deref(), 10).await?;
            let product = replicated::multiply(&mut ctx, &x, &x).await?;
            replicated::open(&mut ctx, &product).await
        };
        work.await.err()
    })
    .await
}

const RESHARE: u64 = 2;
const OPEN: u64 = 3;

async fn rewriting(at: u64, rewrite: impl Fn(Bytes) -> Option<Bytes> + Send + Sync + 'static) -> [Option<ProtocolError>; 3] {
    errors(interfere(Party::ONE, move |_, step, frame| if step == at { rewrite(frame) } else { Some(frame) })).await
}

#[tokio::test]
async fn honest_parties_have_no_errors() {
    assert!(rewriting(OPEN, Some).await.iter().all(Option::is_none));
}

#[tokio::test]
async fn a_frame_of_another_length_is_refused() {
    // Party 1 sends its product to party 0.
    let found = rewriting(RESHARE, |frame| Some(frame.slice(..frame.len() - 8))).await;
    assert!(matches!(found[0], Some(ProtocolError::WrongLength { from: Party::ONE, step: "reshare", expected: 80, found: 72 })));
    let found = rewriting(RESHARE, |frame| Some(Bytes::from([&frame[..], &[0; 8]].concat()))).await;
    assert!(matches!(found[0], Some(ProtocolError::WrongLength { expected: 80, found: 88, .. })));
}

#[tokio::test]
async fn a_frame_without_a_header_is_refused() {
    for length in 0..8 {
        let found = rewriting(RESHARE, move |frame| Some(frame.slice(..length))).await;
        assert!(matches!(found[0], Some(ProtocolError::FrameTooShort { from: Party::ONE })), "{length}");
    }
}

#[tokio::test]
async fn a_frame_of_another_step_is_refused() {
    let found = rewriting(RESHARE, |frame| Some(Bytes::from([&9_u64.to_be_bytes(), &frame[8..]].concat()))).await;
    assert!(matches!(found[0], Some(ProtocolError::WrongStep { from: Party::ONE, expected: RESHARE, found: 9, .. })));
}

#[tokio::test]
async fn a_peer_that_goes_away_is_an_error_everywhere() {
    for at in [RESHARE, OPEN] {
        let found = rewriting(at, |_| None).await;
        assert!(found.iter().all(|error| matches!(error, Some(ProtocolError::Channel(ChannelError::Closed { .. })))), "{at}");
    }
}

#[tokio::test]
async fn one_wrong_share_is_found_when_a_value_is_opened() {
    let flip = |frame: Bytes| {
        let mut frame = frame.to_vec();
        frame[20] ^= 1;
        Some(Bytes::from(frame))
    };
    let found = rewriting(OPEN, flip).await;
    assert!(matches!(found[0], Some(ProtocolError::SharesDisagree { .. })));
    assert!(matches!(found[2], Some(ProtocolError::SharesDisagree { .. })));
}

#[tokio::test]
async fn parties_of_different_sessions_do_not_connect() {
    let mut sessions = [[1; 32], [1; 32], [2; 32]].into_iter();
    let mut parties = Party::ALL.into_iter();
    let attempts = memory::network().map(|end| {
        let (party, session) = (parties.next().unwrap(), sessions.next().unwrap());
        Context::connect(party, Arc::new(end), session, Box::leak(Box::new(memory::rng(1, party))))
    });
    let results = futures::future::join_all(attempts).await;
    assert!(matches!(results[1], Err(ProtocolError::WrongSession { from: Party::TWO })));
    assert!(matches!(results[2], Err(ProtocolError::WrongSession { from: Party::ZERO })));
}

#[tokio::test]
async fn there_is_no_channel_to_oneself_and_no_frame_over_the_limit() {
    let [end, _other, _third] = memory::network();
    assert!(matches!(end.send(Party::ZERO, Bytes::new()).await, Err(ChannelError::NotAPeer { .. })));
    assert!(matches!(end.receive(Party::ZERO).await, Err(ChannelError::NotAPeer { .. })));
    let long = Bytes::from(vec![0; entrepot_mpc_protocol::FRAME_BYTES_MAX + 1]);
    assert!(matches!(end.send(Party::ONE, long).await, Err(ChannelError::TooLong { .. })));
}

/// Party 2's part in an input of party 0 is made of common randomness: it hears nothing at all.
#[tokio::test]
async fn an_input_tells_the_party_that_can_derive_its_share_nothing() {
    let (channels, view): (_, View) = listen(Party::TWO);
    memory::run_over(channels, 3, |mut ctx: Context| async move {
        let values = (ctx.party() == Party::ZERO).then(|| vec![3; 10]);
        replicated::input::<Arithmetic>(&mut ctx, Party::ZERO, values.as_deref(), 10).await.unwrap();
    })
    .await;
    assert_eq!(view.lock().unwrap().len(), 1, "only the message that opened the session");
}
