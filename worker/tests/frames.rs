//! The CSV reader as a real child process: what it reads, and how it refuses what it must not read.

use entrepot_chain_statement::statements::ColumnKind;
use entrepot_worker::frames::{self, Cells, ChildProgram, Frame, FrameError, FrameLimits, FrameRequest};
use std::{collections::BTreeSet, fmt::Write as _, path::Path, time::Duration};

fn child() -> ChildProgram {
    ChildProgram { program: env!("CARGO_BIN_EXE_entrepot-frames-child").into(), arguments: Vec::new() }
}

fn request(path: &Path) -> FrameRequest {
    FrameRequest {
        path: path.to_owned(),
        limits: FrameLimits { timeout: Duration::from_secs(60), ..FrameLimits::default() },
        columns: None,
        numeric: BTreeSet::new(),
        unique: BTreeSet::new(),
    }
}

async fn load_with(content: impl AsRef<[u8]>, change: impl FnOnce(&mut FrameRequest)) -> Result<Frame, FrameError> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("data.csv");
    std::fs::write(&path, content).expect("it can be written");
    let mut request = request(&path);
    change(&mut request);
    frames::load(&child(), &request).await
}

async fn load(content: impl AsRef<[u8]>) -> Result<Frame, FrameError> {
    load_with(content, |_| {}).await
}

fn texts(frame: &Frame, column: &str) -> Vec<String> {
    let cells = &frame.column(column).expect("it is there").cells;
    (0..cells.len()).map(|row| cells.text(row).into_owned()).collect()
}

#[tokio::test]
async fn columns_are_typed_exactly() {
    let frame = load("customer,age,rate,note\nc1,30,13.56,\"a, \"\"b\"\"\"\nc2,-7,7,é\n").await.expect("it is well formed");
    let kinds: Vec<_> = frame.columns.iter().map(|column| column.cells.kind()).collect();
    assert_eq!(kinds, [ColumnKind::Text, ColumnKind::Integer, ColumnKind::Decimal { scale: 2 }, ColumnKind::Text]);
    assert_eq!(frame.columns[2].cells, Cells::Decimal { scale: 2, values: vec![1356, 700] });
    assert_eq!(texts(&frame, "note"), ["a, \"b\"", "é"]);
}

#[tokio::test]
async fn line_ends_quotes_and_byte_order_marks_of_other_systems_are_read() {
    let frame = load("\u{feff}\"customer\",age\r\nc1,1\r\nc2,2\r\n").await.expect("it is well formed");
    assert_eq!(texts(&frame, "customer"), ["c1", "c2"]);
    assert_eq!(frame.columns[1].cells, Cells::Integer(vec![1, 2]));
    let frame = load("customer,age\nc1,1\nc2,2").await.expect("a last line without an end");
    assert_eq!(frame.rows(), 2);
}

#[tokio::test]
async fn many_rows_keep_their_order() {
    let mut content = String::from("n,text\n");
    (0..200_000).for_each(|n| writeln!(content, "{n},row {n}").expect("a string takes everything"));
    let frame = load(content).await.expect("it is well formed");
    assert_eq!(frame.columns[0].cells, Cells::Integer((0..200_000).collect()));
    assert_eq!(frame.columns[1].cells.text(123_456), "row 123456");
}

#[tokio::test]
async fn a_wrong_header_is_refused_without_repeating_it() {
    assert_eq!(load("").await, Err(FrameError::Empty));
    assert_eq!(load("a,b\n").await, Err(FrameError::Empty));
    assert_eq!(load("a,Customer Name\n1,2\n").await, Err(FrameError::HeaderInvalid { position: 2 }));
    assert_eq!(load("a,b,a\n1,2,3\n").await, Err(FrameError::DuplicateColumn { column: "a".into() }));
    let wide: Vec<_> = (0..257).map(|n| format!("c{n}")).collect();
    assert_eq!(load(wide.join(",")).await, Err(FrameError::TooManyColumns { columns_max: 256 }));
    assert_eq!(load("x".repeat(1_000_000)).await, Err(FrameError::TooManyColumns { columns_max: 256 }));
}

#[tokio::test]
async fn other_columns_than_the_registered_ones_are_refused() {
    let registered = Some(vec![("customer".to_owned(), ColumnKind::Text), ("age".to_owned(), ColumnKind::Integer)]);
    let check = async |content: &str| load_with(content, |request| request.columns = registered.clone()).await;
    assert!(check("customer,age\nc1,1\n").await.is_ok());
    let wrong = |missing: &[&str], unexpected| {
        Err(FrameError::WrongColumns { missing: missing.iter().map(|name| (*name).to_owned()).collect(), unexpected })
    };
    assert_eq!(check("customer,rate\nc1,1\n").await, wrong(&["age"], 1));
    assert_eq!(check("age,customer\n1,c1\n").await, wrong(&[], 2));
    assert_eq!(check("customer,age,more\nc1,1,2\n").await, wrong(&[], 1));
    assert_eq!(check("customer,age\nc1,1.5\n").await, Err(FrameError::BadNumber { column: "age".into(), row: 1 }));
    let missing = load_with("customer\nc1\n", |request| request.numeric = BTreeSet::from(["rate".to_owned()])).await;
    assert_eq!(missing, wrong(&["rate"], 0));
}

#[tokio::test]
async fn a_bad_number_is_named_by_its_row_and_never_shown() {
    let error = load_with("customer,rate\nc1,1.5\nc2,secret\n", |request| _ = request.numeric.insert("rate".into())).await;
    let error = error.expect_err("it is no number");
    assert_eq!(error, FrameError::BadNumber { column: "rate".into(), row: 2 });
    assert!(!error.to_string().contains("secret"));
    assert_eq!(error.code(), "csv_bad_number");
}

#[tokio::test]
async fn repeated_join_keys_are_counted_and_never_shown() {
    let content = "customer,rate\nsecret,1\nb,2\nsecret,3\nsecret,4\n";
    let error = load_with(content, |request| _ = request.unique.insert("customer".into())).await.expect_err("it repeats");
    assert_eq!(error, FrameError::DuplicateKeys { column: "customer".into(), count: 2 });
    assert!(!error.to_string().contains("secret"));
    // As numbers, 1 and 1.0 are one key.
    let error = load_with("k\n1\n1.0\n", |request| _ = request.unique.insert("k".into())).await;
    assert_eq!(error, Err(FrameError::DuplicateKeys { column: "k".into(), count: 1 }));
}

#[tokio::test]
async fn missing_cells_ragged_rows_and_other_encodings_are_refused() {
    assert_eq!(load("a,b\n1,\n").await, Err(FrameError::MissingCell { column: "b".into(), row: 1 }));
    assert_eq!(load("a,b\n1,2\n3\n").await, Err(FrameError::MissingCell { column: "b".into(), row: 2 }));
    assert_eq!(load("a,b\n1,\"\"\n").await, Err(FrameError::MissingCell { column: "b".into(), row: 1 }));
    assert_eq!(load("a,b\n1,2,3\n").await, Err(FrameError::Malformed));
    assert_eq!(load(b"a,b\nx,\xff\xfe\n").await, Err(FrameError::NotUtf8));
}

#[tokio::test]
async fn a_field_of_a_million_characters_is_refused() {
    let content = format!("a,b\n1,x\n2,{}\n", "x".repeat(1_000_000));
    assert_eq!(load(content).await, Err(FrameError::FieldTooLong { column: "b".into(), row: 2, bytes_max: 4096 }));
    let content = format!("a,b\n1,{}\n", "x".repeat(4096));
    assert!(load(content).await.is_ok());
}

#[tokio::test]
async fn limits_of_bytes_and_rows_hold() {
    let rows = |rows_max| load_with("a\n1\n2\n3\n", move |request| request.limits.rows_max = rows_max);
    assert!(rows(3).await.is_ok());
    assert_eq!(rows(2).await, Err(FrameError::TooManyRows { rows_max: 2 }));
    let bytes = load_with("a\n1\n2\n3\n", |request| request.limits.file_bytes_max = 7).await;
    assert_eq!(bytes, Err(FrameError::FileTooLarge { bytes_max: 7 }));
    assert_eq!(load_with("a\n1\n", |request| request.path = "/nowhere.csv".into()).await, Err(FrameError::FileUnreadable));
    assert_eq!(load_with("a\n1\n", |request| request.path = "/dev/zero".into()).await, Err(FrameError::FileUnreadable));
}

#[tokio::test]
async fn a_file_that_needs_more_memory_than_allowed_ends_the_child_and_not_the_worker() {
    let mut content = String::from("a,b,c\n");
    (0..1_500_000).for_each(|n| writeln!(content, "{n},{n},a text of some length {n}").expect("a string takes everything"));
    let limited = load_with(&content, |request| request.limits.memory_bytes_max = 160 << 20).await;
    assert_eq!(limited, Err(FrameError::MemoryLimit));
}

#[tokio::test]
async fn a_child_that_takes_too_long_is_killed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let slow = ChildProgram { program: "/bin/sleep".into(), arguments: vec!["600".into()] };
    let mut request = request(&folder.path().join("data.csv"));
    request.limits.timeout = Duration::from_millis(300);
    assert_eq!(frames::load(&slow, &request).await, Err(FrameError::TimeLimit));
}

#[tokio::test]
async fn a_child_that_says_anything_else_is_not_believed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let request = request(&folder.path().join("data.csv"));
    for program in ["/bin/true", "/bin/false", "/bin/cat"] {
        let other = ChildProgram { program: program.into(), arguments: Vec::new() };
        assert_eq!(frames::load(&other, &request).await, Err(FrameError::ChildFailed), "{program}");
    }
}

/// Bytes that look like CSV and are not: none may crash the worker, give a frame of another shape, or anything but a typed error.
#[tokio::test]
async fn hostile_files_give_typed_errors() {
    let deep_quotes = "\"".repeat(100_001);
    let nul = "a,b\n\0,\0\n";
    let cases: Vec<Vec<u8>> = vec![
        deep_quotes.into_bytes(),
        nul.as_bytes().to_vec(),
        b"a,b\n\"unclosed,1\n2,3\n".to_vec(),
        b"PAR1\0\0\0\0PAR1".to_vec(),
        b"\x1f\x8b\x08\0\0\0\0\0\0\x03".to_vec(),
        vec![b','; 100_000],
        vec![b'\n'; 100_000],
        (0..=255).collect(),
    ];
    for (number, content) in cases.into_iter().enumerate() {
        match load(content).await {
            Ok(frame) => assert!(frame.columns.iter().all(|column| column.cells.len() == frame.rows()), "case {number}"),
            Err(error) => assert_ne!(error, FrameError::ChildFailed, "case {number}"),
        }
    }
}
