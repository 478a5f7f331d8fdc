use super::*;

const VKEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
/// The example note of Go's `sumdb/note` documentation.
const NOTE: &str = "If you think cryptography is the answer to your problem,\n\
    then you don't know what your problem is.\n\
    \n\
    — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

fn signer(name: &str) -> Signer {
    Signer::from_seed(KeyName::parse(name).unwrap(), &[name.len() as u8; 32]).unwrap()
}

#[test]
fn note_of_the_go_documentation() {
    let key = Verifier::parse(VKEY).unwrap();
    let note = Note::parse(NOTE.as_bytes()).unwrap();
    assert_eq!(note.to_string(), NOTE);
    let open = note.open(std::slice::from_ref(&key)).unwrap();
    assert!(open.is_signed_by(&key));
    assert!(open.text().ends_with("problem is.\n"));
}

#[test]
fn signed_notes_open_and_every_bit_counts() {
    let signer = signer("example.com/log");
    let mut note = Note::new("one\n\ntwo\n\n".to_owned()).unwrap();
    note.sign(&signer);
    let bytes = note.to_string().into_bytes();
    let keys = [signer.verifier().clone()];
    let opens = |bytes: &[u8]| {
        Note::parse(bytes)
            .ok()
            .and_then(|note| note.open(&keys).ok())
    };
    assert_eq!(opens(&bytes).unwrap().text(), "one\n\ntwo\n\n");
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(opens(&flipped).is_none(), "bit {bit}");
    }
}

#[test]
fn unknown_keys_are_ignored_and_known_ones_must_verify() {
    let (known, stranger) = (signer("known"), signer("stranger"));
    let mut note = Note::new("text\n".to_owned()).unwrap();
    note.sign(&stranger);
    assert_eq!(
        note.clone().open(&[known.verifier().clone()]),
        Err(OpenError::NoKnownKey)
    );
    note.sign(&known);
    assert_eq!(
        note.clone()
            .open(&[known.verifier().clone()])
            .unwrap()
            .verified()
            .len(),
        1
    );
    let mut bytes = note.signatures()[0].bytes().to_vec();
    bytes[0] ^= 1;
    note.push(Signature::new(stranger.verifier(), bytes));
    assert!(note.clone().open(&[known.verifier().clone()]).is_ok());
    let both = [known.verifier().clone(), stranger.verifier().clone()];
    assert_eq!(
        note.open(&both),
        Err(OpenError::BadSignature(stranger.verifier().name().clone()))
    );
}

#[test]
fn bounds() {
    let mut note = Note::new("text\n".to_owned()).unwrap();
    for i in 0..MAX_SIGNATURES {
        note.sign(&signer(&"x".repeat(i + 1)));
    }
    assert_eq!(Note::parse(note.to_string().as_bytes()).unwrap(), note);
    note.sign(&signer("one-more"));
    assert_eq!(
        Note::parse(note.to_string().as_bytes()),
        Err(NoteError::TooManySignatures)
    );
    let long = vec![b'a'; MAX_NOTE + 1];
    assert_eq!(Note::parse(&long), Err(NoteError::TooLong(MAX_NOTE + 1)));
}

#[test]
fn malformed_notes_are_refused() {
    let signature = NOTE.split_once("\n\n").unwrap().1;
    for bad in [
        String::new(),
        "\n\n".to_owned(),
        "text\n".to_owned(),
        "text\n\n".to_owned(),
        format!("\n{signature}"),
        format!("text\n{signature}"),
        format!("text\n\n{}", signature.trim_end()),
        format!("text\n\n{signature}\n"),
        format!("te\txt\n\n{signature}"),
        format!("text\r\n\n{signature}"),
        format!("text\n\n{}", signature.replace('—', "-")),
        format!("text\n\n{}", signature.replace("— ", "—  ")),
        format!("text\n\n{}", signature.replace("AM=", "AN=")),
        format!("text\n\n{}", signature.replace("AM=", "AM")),
        "text\n\n— name AAAAAA==\n".to_owned(),
    ] {
        assert!(Note::parse(bad.as_bytes()).is_err(), "{bad:?}");
    }
    assert!(Note::new("no newline".to_owned()).is_err());
}
