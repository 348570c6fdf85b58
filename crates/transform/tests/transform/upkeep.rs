//! What is done for a table after its runs.

use crate::harness::{Harness, PIPELINE, TABLE};
use millrace_model::definition::pipeline::WriteMode;
use std::time::{Duration, SystemTime};

fn data_files(shop: &Harness) -> Vec<std::path::PathBuf> {
    let folder = shop.path().join("tables").join(PIPELINE).join(TABLE);
    let entries = std::fs::read_dir(folder).expect("listed");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.filter(|path| path.is_file()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn small_files_become_one_and_what_nobody_needs_goes() {
    let mut shop = Harness::new(WriteMode::Append, &[]);
    let mut compacted = 0;
    for run in 0..24 {
        let output = shop
            .take(&format!(r#"[{{"v":{run},"tags":["t{run}"]}}]"#))
            .await;
        compacted += output.counts.get("files_compacted").copied().unwrap_or(0);
    }
    assert!(
        compacted >= 32,
        "of the table and of its child: {compacted}"
    );
    assert_eq!(shop.rows(TABLE).await.len(), 24);
    assert_eq!(shop.rows("orders__tags").await.len(), 24);
    let key = "tables/shop/orders";
    let table = shop
        .lake()
        .table(key)
        .await
        .expect("opened")
        .expect("there");
    assert!(table.files().len() < 16, "{}", table.files().len());
    let history = table.history(30).await.expect("read");
    let at = history
        .iter()
        .find(|entry| entry.kind == "compact")
        .expect("compacted");

    // Whoever has read all before follows the commits still; whoever has not reads all.
    let since = table
        .changes_since(at.version - 1)
        .await
        .expect("read")
        .expect("followed");
    let rows: u64 = since.iter().filter_map(|file| file.rows).sum();
    assert_eq!(rows, 24 - at.version, "each run behind it brought one");
    let earlier = table.changes_since(at.version - 5).await.expect("read");
    assert_eq!(earlier, None);

    // Files of a time that nobody reads any more go, and those of the last version stay.
    let all = data_files(&shop);
    let long_ago = SystemTime::now() - Duration::from_hours(2);
    for path in &all {
        let file = std::fs::File::options()
            .write(true)
            .open(path)
            .expect("opened");
        file.set_modified(long_ago).expect("set");
    }
    assert_eq!(
        table.vacuum(Duration::from_hours(1)).await.expect("done"),
        0,
        "removed just now"
    );
    std::thread::sleep(Duration::from_millis(20));
    let removed = table.vacuum(Duration::from_millis(10)).await.expect("done");
    assert_eq!(removed, all.len() - table.files().len());
    assert_eq!(shop.rows(TABLE).await.len(), 24);
    shop.take(r#"[{"v":24}]"#).await;
    assert_eq!(shop.rows(TABLE).await.len(), 25);
}
