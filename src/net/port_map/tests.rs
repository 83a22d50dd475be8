use super::*;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Mutex;

#[test]
fn what_was_lost_and_comes_back_is_said() {
    let router = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = router.local_addr().unwrap();
    thread::spawn(move || {
        let mut request = [0; 60];
        while let Ok((length, from)) = router.recv_from(&mut request) {
            let answer: &[u8] = match length {
                2 => &[0, 128, 0, 0, 0, 0, 0, 1, 203, 0, 113, 7],
                _ => &[0, 130, 0, 0, 0, 0, 0, 1, 0x13, 0x88, 0x13, 0x88, 0, 0, 14, 16],
            };
            router.send_to(answer, from).unwrap();
        }
    });
    let reports = Arc::new(Mutex::new(Vec::new()));
    let said = Arc::clone(&reports);
    let mapper = Mapper {
        bound: vec![(Ipv4Addr::UNSPECIFIED, 5_000).into()],
        port: 5_000,
        nonce: [7; NONCE],
        unsettled: AtomicUsize::new(0),
        on_report: Box::new(move |report| said.lock().unwrap().push(report)),
    };
    let assigned = Assigned { external: "203.0.113.7:5000".parse().unwrap(), seconds: 10 };
    let lease = Lease::Datagrams(Server::new(Ipv4Addr::LOCALHOST.into(), addr).unwrap(), Method::NatPmp);
    let mut mapping = Mapping::new(lease, assigned);
    mapping.lost = true;
    mapper.renew(&Way(Vec::new()), &mut mapping);
    // The second time it is no news.
    mapper.renew(&Way(Vec::new()), &mut mapping);
    let back = MapReport::Mapped { addr: assigned.external, by: Method::NatPmp, seconds: 3_600 };
    assert_eq!(*reports.lock().unwrap(), [back]);
}

#[test]
fn a_lease_of_seconds_is_none_and_one_without_end_is_one() {
    let external = "203.0.113.7:5000".parse().unwrap();
    let checked = |seconds| check(&Assigned { external, seconds });
    assert_eq!(checked(1), Err(MapError::Brief(1)));
    assert_eq!([checked(0), checked(BRIEFEST), checked(u32::MAX)], [Ok(()), Ok(()), Ok(())]);
    let within = Assigned { external: "192.168.1.1:5000".parse().unwrap(), seconds: 1 };
    assert_eq!(check(&within), Err(MapError::NoPublicAddress));
}
