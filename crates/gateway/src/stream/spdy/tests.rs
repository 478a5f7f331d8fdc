use super::*;
use flate2::{Compress, Compression, FlushCompress};

/// A client's side: frames with headers compressed as spdystream compresses them.
struct Client {
    deflate: Compress,
}

impl Client {
    fn new() -> Self {
        let mut deflate = Compress::new(Compression::best(), true);
        deflate
            .set_dictionary(include_bytes!("dictionary.bin"))
            .unwrap();
        Self { deflate }
    }

    fn syn_stream(&mut self, id: u32, headers: &[(&str, &str)]) -> Vec<u8> {
        let mut plain = u32::try_from(headers.len()).unwrap().to_be_bytes().to_vec();
        for text in headers.iter().flat_map(|(k, v)| [k, v]) {
            plain.extend_from_slice(&u32::try_from(text.len()).unwrap().to_be_bytes());
            plain.extend_from_slice(text.as_bytes());
        }
        let mut block = Vec::with_capacity(plain.len() + 100);
        self.deflate
            .compress_vec(&plain, &mut block, FlushCompress::Sync)
            .unwrap();
        let mut frame = vec![0x80, 3, 0, 1, 0];
        let length = u32::try_from(block.len() + 10).unwrap();
        frame.extend_from_slice(&length.to_be_bytes()[1..]);
        frame.extend_from_slice(&id.to_be_bytes());
        frame.extend_from_slice(&[0; 6]);
        frame.extend_from_slice(&block);
        frame
    }
}

fn data(id: u32, bytes: &[u8]) -> Vec<u8> {
    let mut frame = id.to_be_bytes().to_vec();
    frame.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(bytes);
    frame
}

#[test]
fn the_error_stream_is_found_however_the_bytes_are_cut() {
    let mut client = Client::new();
    let mut bytes = client.syn_stream(1, &[("streamtype", "error")]);
    bytes.extend(data(1, b"x"));
    bytes.extend(client.syn_stream(3, &[("streamtype", "stdin"), ("port", "80")]));
    bytes.extend(client.syn_stream(5, &[("streamtype", "error")]));
    for step in [1, 3, 10, bytes.len()] {
        let mut follower = Follower::new("v4.channel.k8s.io");
        for chunk in bytes.chunks(step) {
            follower.saw_client(chunk).unwrap();
        }
        assert_eq!(follower.error_streams, [1, 5], "step {step}");
    }
}

#[test]
fn the_farewell_is_a_status_on_the_error_stream_then_goaway() {
    let mut follower = Follower::new("v4.channel.k8s.io");
    follower
        .saw_client(&Client::new().syn_stream(1, &[("streamtype", "error")]))
        .unwrap();
    assert!(follower.at_boundary());
    follower.saw_server(&data(3, b"hello")[..7]).unwrap();
    assert!(!follower.at_boundary());
    assert_eq!(follower.remaining(), 1);
    follower.saw_server(&data(3, b"hello")[7..]).unwrap();
    assert!(follower.at_boundary());
    assert_eq!(
        follower.farewell(b"{}", "over"),
        [
            &[0, 0, 0, 1, 1, 0, 0, 2, b'{', b'}'][..],
            &[0x80, 3, 0, 7, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0]
        ]
        .concat()
    );
}

#[test]
fn abuse_is_malformed_and_costs_little() {
    let cases: [&[u8]; 4] = [
        &[0x80, 2, 0, 1, 0, 0, 0, 0],          // version 2
        &[0x80, 3, 0, 99, 0, 0, 0, 0],         // unknown kind
        &[0x80, 3, 0, 4, 0, 0xff, 0xff, 0xff], // SETTINGS of 16 MiB
        &[0x80, 3, 0, 1, 0, 0, 0, 2, 0, 0],    // SYN_STREAM without a stream
    ];
    for bytes in cases {
        assert!(
            Follower::new("v4.channel.k8s.io")
                .saw_client(bytes)
                .is_err(),
            "{bytes:?}"
        );
    }
    // A header that inflates to a megabyte.
    let bomb = Client::new().syn_stream(1, &[("a", &"b".repeat(1 << 20))]);
    assert!(
        Follower::new("v4.channel.k8s.io")
            .saw_client(&bomb)
            .is_err()
    );
    // Ten thousand streams.
    let (mut client, mut follower) = (Client::new(), Follower::new("portforward.k8s.io"));
    for id in 0..10_000 {
        follower
            .saw_client(&client.syn_stream(id * 2 + 1, &[("streamtype", "error")]))
            .unwrap();
    }
    assert_eq!(follower.error_streams.len(), ERROR_STREAMS);
}
