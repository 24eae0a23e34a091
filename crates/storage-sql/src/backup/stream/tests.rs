use super::*;

fn key() -> BackupKey {
    BackupKey::new([7; 32])
}

async fn sealed(entries: &[&[u8]]) -> Vec<u8> {
    let mut writer = SealedWriter::begin(Vec::new(), &key()).await.expect("a head");
    for entry in entries {
        writer.entry(entry).await.expect("an entry");
    }
    writer.finish().await.expect("an end")
}

async fn opened(file: &[u8], key: &BackupKey) -> Result<Vec<Vec<u8>>> {
    let mut reader = SealedReader::begin(file, key).await?;
    let mut entries = Vec::new();
    while let Some(entry) = reader.entry().await? {
        entries.push(entry.to_vec());
    }
    Ok(entries)
}

#[tokio::test]
async fn entries_of_every_size_come_back() {
    let sizes = [0, 1, CHUNK - 5, CHUNK - 4, CHUNK - 3, CHUNK, CHUNK + 1, 3 * CHUNK];
    let entries: Vec<Vec<u8>> = sizes.iter().map(|size| vec![b'x'; *size]).collect();
    let file = sealed(&entries.iter().map(Vec::as_slice).collect::<Vec<_>>()).await;
    assert_eq!(opened(&file, &key()).await.expect("all of them"), entries);
    assert_eq!(opened(&sealed(&[]).await, &key()).await.expect("no entry").len(), 0);
}

#[tokio::test]
async fn cut_file_is_refused_everywhere() {
    let file = sealed(&[&[b'a'; CHUNK], b"b"]).await;
    for length in (0..file.len()).step_by(97).chain([file.len() - 1]) {
        let error = opened(&file[..length], &key()).await.expect_err("refused");
        assert!(matches!(error, BackupError::Incomplete), "{length}: {error}");
    }
}

#[tokio::test]
async fn changed_bytes_are_refused() {
    let file = sealed(&[&[b'a'; CHUNK], b"b"]).await;
    for at in (0..file.len()).step_by(61) {
        let mut changed = file.clone();
        changed[at] ^= 1;
        opened(&changed, &key()).await.expect_err("refused");
    }
    let mut longer = file;
    longer.push(0);
    assert!(matches!(opened(&longer, &key()).await, Err(BackupError::Changed)));
}

#[tokio::test]
async fn moved_chunks_are_refused() {
    let file = sealed(&[&[b'a'; 3 * CHUNK]]).await;
    let chunk = CHUNK + AES_256_GCM.tag_len() + 4;
    let mut moved = file.clone();
    moved[HEAD_LEN..HEAD_LEN + 2 * chunk].rotate_left(chunk);
    opened(&moved, &key()).await.expect_err("refused");
}

#[tokio::test]
async fn other_key_and_other_file_are_told_apart() {
    let file = sealed(&[b"a"]).await;
    let other = BackupKey::new([8; 32]);
    assert!(matches!(opened(&file, &other).await, Err(BackupError::Key)));
    let foreign = [b'{'; 200];
    assert!(matches!(opened(&foreign, &key()).await, Err(BackupError::Foreign)));
    let mut newer = file;
    newer[MAGIC.len() - 1] = 2;
    assert!(matches!(opened(&newer, &key()).await, Err(BackupError::Newer)));
}

#[tokio::test]
async fn text_is_not_in_the_file() {
    let file = sealed(&[b"planted-secret"]).await;
    assert!(!file.windows(7).any(|window| window == b"planted"));
}
