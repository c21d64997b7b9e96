//! Pages.

use crate::lent::{Lent, look, look_with};
use crate::servers::{endless, free, hold, nginx, odd, request};
use cmdr_protocol::probes::Verdict;
use std::io::Write as _;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

#[tokio::test]
async fn a_page_of_nginx_is_up_with_its_phases_and_down_when_nginx_is_killed() {
    let nginx = nginx("location / { return 200 'all is well'; }");
    let at = nginx.at;
    let text =
        format!("http: {{ url: 'http://{at}/x?y=1', contains: is well, matches: '^all' }}\n");
    let seen = look(&text).await;
    assert_eq!((seen.verdict, seen.why.as_str()), (Verdict::Up, "status 200"), "{seen:?}");
    assert_eq!((seen.status, seen.address.as_str()), (Some(200), at.to_string().as_str()));
    let phases = seen.phases;
    assert!(phases.connect_us.is_some() && phases.first_us.is_some() && phases.rest_us.is_some());
    let parts = [phases.connect_us, phases.first_us, phases.rest_us];
    assert!(parts.iter().flatten().sum::<u64>() <= seen.took_us, "{seen:?}");
    nginx.end();
    let seen = look(&text).await;
    assert_eq!(seen.verdict, Verdict::Down);
    assert!(seen.why.contains("nothing listens there"), "{}", seen.why);
}

#[tokio::test]
async fn the_status_and_the_text_are_what_was_asked_for_or_it_is_down() {
    let nginx = nginx("location / { return 503 'busy'; } location /ok { return 200 'fine'; }");
    let at = nginx.at;
    let down = look(&format!("http: {{ url: 'http://{at}/' }}\n")).await;
    assert_eq!((down.verdict, down.why.as_str()), (Verdict::Down, "status 503, and not 200-299"));
    let up = look(&format!("http: {{ url: 'http://{at}/', status: '200-299, 503' }}\n")).await;
    assert_eq!(up.verdict, Verdict::Up);
    let lacks = look(&format!("http: {{ url: 'http://{at}/ok', contains: well }}\n")).await;
    assert_eq!(
        (lacks.verdict, lacks.why.as_str()),
        (Verdict::Down, "status 200; the answer has no 'well'")
    );
    let lacks = look(&format!("http: {{ url: 'http://{at}/ok', matches: '^f.*x' }}\n")).await;
    assert_eq!(lacks.verdict, Verdict::Down);
}

#[tokio::test]
async fn redirects_are_followed_so_far_and_a_loop_ends() {
    let nginx = nginx(
        "location /a { return 302 /b; } location /b { return 200 'there'; } location /loop { return 301 /loop; }",
    );
    let at = nginx.at;
    let seen = look(&format!("http: {{ url: 'http://{at}/a', contains: there }}\n")).await;
    assert_eq!(seen.verdict, Verdict::Up, "{}", seen.why);
    let seen = look(&format!("http: {{ url: 'http://{at}/loop', redirects: 3 }}\n")).await;
    assert!(seen.why.starts_with("more than 3 redirects"), "{}", seen.why);
    let seen = look(&format!("http: {{ url: 'http://{at}/a', redirects: 0 }}\n")).await;
    assert_eq!(seen.why, "status 302, and not 200-299");
    let seen = look(&format!("http: {{ url: 'http://{at}/a', status: '302' }}\n")).await;
    assert_eq!(seen.verdict, Verdict::Up, "what is expected is not followed");
}

#[tokio::test]
async fn headers_of_a_probe_go_to_whom_it_names_and_not_where_that_redirects() {
    let heard = Arc::new(Mutex::new(String::new()));
    let kept = heard.clone();
    let other = odd(move |mut stream| {
        *kept.lock().unwrap() = request(&stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
    });
    let first = Arc::new(Mutex::new(String::new()));
    let kept = first.clone();
    let at = odd(move |mut stream| {
        *kept.lock().unwrap() = request(&stream);
        let answer =
            format!("HTTP/1.1 302 Found\r\nlocation: http://{other}/\r\ncontent-length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes()).unwrap();
    });
    let seen =
        look(&format!("http: {{ url: 'http://{at}/', headers: {{ x-key: hush }} }}\n")).await;
    assert_eq!(seen.verdict, Verdict::Up, "{}", seen.why);
    assert!(first.lock().unwrap().contains("x-key: hush"));
    let heard = heard.lock().unwrap().clone();
    assert!(heard.contains(&format!("host: {other}")) && !heard.contains("hush"), "{heard}");
}

#[tokio::test]
async fn an_end_that_says_nothing_or_too_slowly_is_down_in_time_and_it_is_said_where() {
    // Nobody ever accepts: the system alone takes the connection.
    let never = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = never.local_addr().unwrap();
    let seen = look(&format!("timeout: 300ms\nhttp: {{ url: 'http://{at}/' }}\n")).await;
    assert_eq!(seen.why, format!("the answer of {at} did not end within 300 ms"));
    assert!(seen.phases.connect_us.is_some() && seen.took_us < 5_000_000);
    let at = odd(|mut stream| {
        request(&stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        hold(stream);
    });
    let seen = look(&format!("timeout: 300ms\nhttp: {{ url: 'http://{at}/' }}\n")).await;
    assert_eq!(seen.why, format!("the rest of the answer of {at} did not end within 300 ms"));
    // One byte at a time, and each only when the one before has gone.
    let at = odd(|mut stream| {
        stream.set_nodelay(true).unwrap();
        request(&stream);
        let mut going = stream.write_all(b"HTTP/1.1 200 OK\r\nx: ").is_ok();
        while going {
            going = stream.write_all(b"a").is_ok();
            std::thread::park_timeout(std::time::Duration::from_millis(5));
        }
    });
    let seen = look(&format!("timeout: 300ms\nhttp: {{ url: 'http://{at}/' }}\n")).await;
    assert_eq!(seen.why, format!("the answer of {at} did not end within 300 ms"));
}

#[tokio::test]
async fn what_does_not_end_is_read_up_to_a_bound() {
    let at = odd(|stream| {
        request(&stream);
        endless(stream, "HTTP/1.1 200 OK\r\n", b"x-more: and more\r\n");
    });
    let seen = look(&format!("http: {{ url: 'http://{at}/' }}\n")).await;
    assert_eq!(seen.verdict, Verdict::Down, "endless headers are no answer");
    assert!(seen.why.starts_with(&format!("asking {at}:")), "{}", seen.why);
    let at = odd(|stream| {
        request(&stream);
        endless(stream, "HTTP/1.1 200 OK\r\n\r\n", &[b'a'; 4096]);
    });
    let seen = look(&format!("http: {{ url: 'http://{at}/', contains: 'b' }}\n")).await;
    assert_eq!(seen.why, "status 200; the answer has no 'b' in its first 256 KiB");
    let seen = look(&format!("http: {{ url: 'http://{at}/', contains: 'aa' }}\n")).await;
    assert_eq!(seen.verdict, Verdict::Up);
}

#[tokio::test]
async fn an_end_that_speaks_something_else_is_down_and_its_bytes_are_shown_harmless() {
    let at = odd(|mut stream| {
        request(&stream);
        stream.write_all(b"\x1b]52;c;aGk=\x07 not http\r\n\r\n").ok();
    });
    let seen = look(&format!("http: {{ url: 'http://{at}/' }}\n")).await;
    assert_eq!(seen.verdict, Verdict::Down);
    let at = odd(|mut stream| {
        request(&stream);
        let answer = "HTTP/1.1 302 x\r\nlocation: ftp://\u{1b}[2Jx/\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(answer.as_bytes()).ok();
    });
    let other = look(&format!("http: {{ url: 'http://{at}/' }}\n")).await;
    assert_eq!(other.verdict, Verdict::Down);
    for why in [seen.why, other.why] {
        assert!(!why.chars().any(char::is_control), "{why:?}");
    }
}

#[tokio::test]
async fn an_address_that_this_host_may_not_go_to_says_nothing_about_the_far_end() {
    let lent = Lent { never: vec!["127.0.0.1".parse().unwrap()], ..Lent::default() };
    let seen = look_with(lent, &format!("http: {{ url: 'http://{}/' }}\n", free())).await;
    assert_eq!(seen.verdict, Verdict::Unknown);
    assert!(seen.why.contains("policy"), "{}", seen.why);
    // A redirect leads no further than the probe itself may.
    let at = odd(|mut stream| {
        request(&stream);
        stream
            .write_all(b"HTTP/1.1 302 x\r\nlocation: http://[::1]:9/\r\ncontent-length: 0\r\n\r\n")
            .ok();
    });
    let lent = Lent { never: vec!["::1".parse().unwrap()], ..Lent::default() };
    let seen = look_with(lent, &format!("http: {{ url: 'http://{at}/' }}\n")).await;
    assert_eq!(seen.verdict, Verdict::Unknown, "{}", seen.why);
}
