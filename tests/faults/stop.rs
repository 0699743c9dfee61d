//! A broker that is told to stop finishes what is in flight, and nothing else.

use rustix::process::Signal;

use crate::common::{Ask, Backing, Broker, Http, Request, Setup, Token, eventually, on_both_stores};

on_both_stores!(what_is_in_flight_is_finished, what_never_comes_is_not_waited_for);

fn what_is_in_flight_is_finished(backing: &Backing) {
    for signal in [Signal::TERM, Signal::INT] {
        let mut broker = Broker::start(backing);
        let request = Ask::of("demo").request().bytes();
        let (most, rest) = request.split_at(request.len() - 5);
        let mut http = broker.connect();
        http.send(most).unwrap();
        let mut idle = broker.connect();
        idle.ask(&Request::get("/livez")).unwrap().expect(200);
        broker.signal(signal);
        eventually("it takes nobody new", || {
            let turned_away = Http::tcp(broker.address()).and_then(|mut http| http.ask(&Request::get("/livez")));
            turned_away.is_err().then_some(())
        });
        assert!(idle.is_closed());
        http.send(rest).unwrap();
        let token = Token::of(&http.answer().unwrap().expect(200));
        assert!(broker.wait().success());
        assert!(!broker.data().join("admin.sock").exists(), "its socket goes with it");
        let audit = broker.audit();
        assert!(audit.find(&[("event", "mint"), ("lease", &token.lease())]).is_some());
        assert_eq!(audit.lines().last().unwrap()["event"], "stop");
        broker.start_again();
        assert!(broker.stands(&token));
    }
}

fn what_never_comes_is_not_waited_for(backing: &Backing) {
    let mut broker = Setup::default().set("JITNEY_LIMITS_DRAIN_TIMEOUT", "1s").start(backing);
    let request = Ask::of("demo").request().bytes();
    let mut http = broker.connect();
    http.send(&request[..request.len() - 5]).unwrap();
    broker.get("/livez").expect(200);
    broker.stop();
}
