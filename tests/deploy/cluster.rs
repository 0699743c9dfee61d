//! The broker in a cluster: its files against each other, and the broker, its operator's way in and the metrics' way out run
//! as the containers are told to. No kubelet runs here: what it lays out is laid out by the test.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::files::{document, list, named, python, read, strings, text, yaml};
use crate::common::{Redis, eventually};

fn broker() -> Vec<Value> {
    yaml("kubernetes/broker.yaml")
}

/// The template of a pod.
fn pods() -> Vec<(&'static str, Value)> {
    let deployment = document(&broker(), "Deployment", "jitney")["spec"]["template"]["spec"].clone();
    let job = document(&yaml("kubernetes/job.yaml"), "Job", "report")["spec"]["template"]["spec"].clone();
    vec![("broker", deployment), ("report", job)]
}

/// By the cluster's own schemas, as they come with `kubernetes-validate`; those of the Prometheus Operator are not among them.
#[test]
fn a_cluster_would_take_the_files() {
    for file in ["kubernetes/broker.yaml", "kubernetes/job.yaml"] {
        python("kubernetes-validate", &["--strict"], file);
    }
}

#[test]
fn no_pod_may_do_more_than_it_must() {
    for (name, pod) in pods() {
        let context = &pod["securityContext"];
        assert_eq!(
            (&context["runAsNonRoot"], &context["seccompProfile"]["type"]),
            (&json!(true), &json!("RuntimeDefault")),
            "{name}"
        );
        assert_eq!(pod["automountServiceAccountToken"], false, "{name}");
        for host in ["hostNetwork", "hostPID", "hostIPC"] {
            assert!(pod.get(host).is_none(), "{name}");
        }
        for container in list(&pod["containers"]) {
            let name = format!("{name}/{}", text(&container["name"]));
            let context = &container["securityContext"];
            assert_eq!(context["allowPrivilegeEscalation"], false, "{name}");
            assert_eq!(context["readOnlyRootFilesystem"], true, "{name}");
            assert_eq!(context["capabilities"], json!({"drop": ["ALL"]}), "{name}");
            assert!(container["resources"]["limits"]["memory"].is_string(), "{name}");
            // Mounted is what there is, and what may be written to is a folder that goes with the pod.
            for mount in list(&container["volumeMounts"]) {
                let volume = named(&pod["volumes"], text(&mount["name"]));
                let is_own = volume.get("emptyDir").is_some();
                assert!(is_own || mount["readOnly"] == true, "{name}: {mount}");
            }
        }
    }
    // As the image has it.
    let (dockerfile, pod) = (read("Dockerfile"), &pods()[0].1);
    let user = &pod["securityContext"]["runAsUser"];
    assert!(dockerfile.contains(&format!("USER {user}:{user}")), "{user}");
    assert_eq!(&pod["securityContext"]["fsGroup"], user, "whose group may read the certificate's key");
}

#[test]
fn what_the_documents_name_in_each_other_is_there() {
    let documents = broker();
    let deployment = &document(&documents, "Deployment", "jitney")["spec"];
    let labels = deployment["template"]["metadata"]["labels"].as_object().unwrap();
    let pod = &deployment["template"]["spec"];
    let selects = |selector: &Value| {
        let wanted = selector.as_object().unwrap();
        !wanted.is_empty() && wanted.iter().all(|(name, value)| labels.get(name) == Some(value))
    };
    let service = document(&documents, "Service", "jitney");
    for selector in [
        &deployment["selector"]["matchLabels"],
        &service["spec"]["selector"],
        &document(&documents, "PodDisruptionBudget", "jitney")["spec"]["selector"]["matchLabels"],
        &document(&documents, "NetworkPolicy", "jitney")["spec"]["podSelector"]["matchLabels"],
    ] {
        assert!(selects(selector), "{selector}");
    }
    let ports: BTreeSet<&str> =
        list(&pod["containers"]).iter().flat_map(|each| list(&each["ports"])).map(|port| text(&port["name"])).collect();
    let mut wanted: Vec<&str> = list(&service["spec"]["ports"]).iter().map(|port| text(&port["targetPort"])).collect();
    let policy = &document(&documents, "NetworkPolicy", "jitney")["spec"];
    wanted
        .extend(list(&policy["ingress"]).iter().flat_map(|from| list(&from["ports"])).map(|port| text(&port["port"])));
    let own = named(&pod["containers"], "jitney");
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        wanted.push(text(&own[probe]["httpGet"]["port"]));
        assert_eq!(own[probe]["httpGet"]["scheme"], "HTTPS");
    }
    assert!(wanted.iter().all(|port| ports.contains(port)), "{wanted:?} of {ports:?}");
    // The monitor finds the service, and its port there.
    let monitor = &yaml("monitoring/servicemonitor.yaml")[0];
    let labels_of_service = &service["metadata"]["labels"];
    assert_eq!(&monitor["spec"]["selector"]["matchLabels"], labels_of_service);
    assert_eq!(monitor["spec"]["namespaceSelector"]["matchNames"][0], service["metadata"]["namespace"]);
    named(&service["spec"]["ports"], text(&monitor["spec"]["endpoints"][0]["port"]));
    // Workloads are let in by the label that the job has.
    let job = yaml("kubernetes/job.yaml");
    let of_job = &document(&job, "Job", "report")["spec"]["template"]["metadata"]["labels"];
    let let_in = policy["ingress"][0]["from"][0]["podSelector"]["matchLabels"].as_object().unwrap();
    assert!(let_in.iter().all(|(name, value)| of_job.get(name) == Some(value)), "{let_in:?}");
    // The same version as this one.
    let mut all = Vec::new();
    documents.iter().for_each(|each| strings(each, &mut all));
    let image = format!("registry.example.com/jitney:{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(all.iter().filter(|text| **text == image).count(), 2, "{image}");
    // Longer than the broker takes to finish what is in flight.
    let config = jitney::config::Config::load(None, []).unwrap();
    assert!(pod["terminationGracePeriodSeconds"].as_u64().unwrap() > config.limits.drain_timeout.as_secs());
}

#[test]
fn every_path_of_the_configuration_is_mounted_and_those_that_are_written_may_be() {
    let documents = broker();
    let config: toml::Table =
        toml::from_str(text(&document(&documents, "ConfigMap", "jitney")["data"]["jitney.toml"])).unwrap();
    let pod = &document(&documents, "Deployment", "jitney")["spec"]["template"]["spec"];
    let own = named(&pod["containers"], "jitney");
    let mut paths = Vec::new();
    for (section, keys) in &config {
        for (key, value) in keys.as_table().unwrap() {
            if let Some(path) = value.as_str().filter(|value| value.starts_with('/')) {
                paths.push((format!("{section}.{key}"), path.to_owned()));
            }
        }
    }
    assert_eq!(paths.len(), 6, "{paths:?}");
    for (key, path) in paths {
        let mount =
            list(&own["volumeMounts"]).iter().find(|mount| Path::new(&path).starts_with(text(&mount["mountPath"])));
        let mount = mount.unwrap_or_else(|| panic!("{key}: {path} is nowhere"));
        let written = ["admin.socket", "keys.dir", "audit.path"].contains(&key.as_str());
        assert_eq!(mount["readOnly"] != true, written, "{key}");
    }
    // What the image sets holds over the file: so it says the same.
    let dockerfile = read("Dockerfile");
    let set = dockerfile.split_whitespace().filter_map(|word| word.strip_prefix("JITNEY_")?.split_once('='));
    let mut same = 0;
    for (name, value) in set.filter(|(name, _)| *name != "ADMIN") {
        let (section, key) = name.split_once('_').unwrap();
        let told = &config[&section.to_lowercase()][&key.to_lowercase()];
        assert_eq!(told.as_str(), Some(value), "JITNEY_{name}");
        same += 1;
    }
    assert_eq!(same, 4);
    // Where the image says that an operator's commands look for the broker.
    assert!(read("Dockerfile").contains(&format!("JITNEY_ADMIN=unix:{}", config["admin"]["socket"].as_str().unwrap())));
}

/// A pod of the broker's, as processes of this machine: below a folder of its own lies what a pod sees below `/`.
struct Pod {
    dir: tempfile::TempDir,
    children: Vec<Child>,
    documents: Vec<Value>,
    redis: Redis,
}

impl Pod {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let pod = Self { dir, children: Vec::new(), documents: broker(), redis: Redis::start() };
        for folder in ["etc/jitney/tls", "etc/metrics", "etc/jitney/policies", "var/lib/jitney", "run/jitney"] {
            fs::create_dir_all(pod.at(folder)).unwrap();
        }
        // An `emptyDir` with an `fsGroup`: anybody's.
        for folder in ["var/lib/jitney", "run/jitney"] {
            fs::set_permissions(pod.at(folder), fs::Permissions::from_mode(0o2777)).unwrap();
        }
        pod.certificate();
        pod.policies("..one", &|text| text.replace("2027-06-30", "2099-12-31"));
        for (file, to) in [("jitney.toml", "etc/jitney/jitney.toml"), ("metrics.cfg", "etc/metrics/metrics.cfg")] {
            let text = text(&document(&pod.documents, "ConfigMap", "jitney")["data"][file]).to_owned();
            fs::write(pod.at(to), pod.moved(&text)).unwrap();
        }
        pod
    }

    fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    /// The same text, its paths below this folder and its ports free ones.
    fn moved(&self, text: &str) -> String {
        let root = self.dir.path().display();
        let text = ["/etc/", "/var/", "/run/"]
            .iter()
            .fold(text.to_owned(), |text, top| text.replace(top, &format!("{root}{top}")));
        text.replace("0.0.0.0:8443", "127.0.0.1:0")
    }

    fn certificate(&self) {
        let key = rcgen::KeyPair::generate().unwrap();
        let own = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().self_signed(&key).unwrap();
        fs::write(self.at("etc/jitney/tls/tls.crt"), own.pem()).unwrap();
        fs::write(self.at("etc/jitney/tls/tls.key"), key.serialize_pem()).unwrap();
    }

    /// The volume of the policies as a kubelet lays it out, and turns it: each file is a link into a folder that a link names.
    fn policies(&self, turn: &str, bend: &dyn Fn(&str) -> String) {
        let pod = &document(&self.documents, "Deployment", "jitney")["spec"]["template"]["spec"];
        let volume = &named(&pod["volumes"], "policies")["configMap"];
        let data = &document(&self.documents, "ConfigMap", text(&volume["name"]))["data"];
        assert_eq!(list(&volume["items"]).len(), data.as_object().unwrap().len(), "each file is laid out");
        let root = self.at("etc/jitney/policies");
        for item in list(&volume["items"]) {
            let path = root.join(turn).join(text(&item["path"]));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bend(text(&data[text(&item["key"])]))).unwrap();
            let top = text(&item["path"]).split('/').next().unwrap();
            let link = root.join(top);
            if !link.is_symlink() {
                symlink(format!("..data/{top}"), link).unwrap();
            }
        }
        symlink(turn, root.join("..data_tmp")).unwrap();
        fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
    }

    /// Runs a container's command; what it says goes to a file.
    fn container(&mut self, name: &str, program: &str) -> PathBuf {
        let pod = document(&self.documents, "Deployment", "jitney")["spec"]["template"]["spec"].clone();
        let container = named(&pod["containers"], name);
        let words: Vec<String> = list(&container["args"]).iter().map(|word| self.moved(text(word))).collect();
        let words = if program == "haproxy" { &words[1..] } else { &words[..] };
        let out = self.at(&format!("{name}.out"));
        let said = || fs::File::options().create(true).append(true).open(&out).unwrap();
        let mut command = crate::common::clean(program);
        command.args(words).stdin(Stdio::null()).stdout(said()).stderr(said());
        for each in list(&container["env"]) {
            assert_eq!(
                (text(&each["name"]), text(&each["valueFrom"]["secretKeyRef"]["name"])),
                ("JITNEY_STORE_URL", "jitney-store")
            );
            command.env(text(&each["name"]), self.redis.url());
        }
        self.children.push(command.spawn().unwrap());
        out
    }

    /// An operator's command in the container.
    fn operator(&self, words: &[&str]) -> String {
        let socket = format!("unix:{}", self.at("run/jitney/admin.sock").display());
        let output = crate::common::clean(env!("CARGO_BIN_EXE_jitney"))
            .env("JITNEY_ADMIN", socket)
            .args(words)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What curl gets there: status and body.
fn curl(words: &[&str]) -> (String, String) {
    let output = Command::new("curl").args(["-sS", "-w", "\n%{http_code}"]).args(words).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.to_owned(), body.to_owned())
}

#[test]
fn the_pod_of_the_broker_runs() {
    let mut pod = Pod::start();
    let said = pod.container("jitney", env!("CARGO_BIN_EXE_jitney"));
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    let url = eventually("the broker listens", || {
        let said = read(&said);
        said.split("listening on ").nth(1)?.split(['\n', '"']).next().map(|url| url.trim().to_owned())
    });
    let own =
        named(&document(&pod.documents, "Deployment", "jitney")["spec"]["template"]["spec"]["containers"], "jitney")
            .clone();
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        let path = text(&own[probe]["httpGet"]["path"]);
        // As a kubelet asks: it takes any certificate.
        assert_eq!(curl(&["--insecure", &format!("{url}{path}")]).0, "200", "{probe}");
    }
    // Operators have their way in, and see the policies of the volume.
    assert!(pod.operator(&["status"]).contains("https://jitney.example.com"), "{}", pod.operator(&["status"]));
    assert!(pod.operator(&["workload", "show", "report"]).contains("team-data@example.com"));
    // A turned volume is in force by itself.
    pod.policies("..two", &|text| text.replace("2027-06-30", "2099-12-31").replace("team-data@", "team-new@"));
    eventually("the turned volume is in force", || {
        pod.operator(&["workload", "show", "report"]).contains("team-new@example.com").then_some(())
    });
    // The audit log goes where the cluster takes its logs.
    pod.operator(&["workload", "quarantine", "report", "--reason", "drill"]);
    let tail = pod.container("audit", env!("CARGO_BIN_EXE_jitney"));
    pod.operator(&["workload", "release", "report", "--reason", "over"]);
    eventually("both lines are on standard output", || {
        let lines: Vec<Value> = read(&tail).lines().map_while(|line| serde_json::from_str(line).ok()).collect();
        let told = |reason: &str| lines.iter().any(|line| line["reason"] == reason || line["detail"] == reason);
        (told("drill") && told("over")).then_some(())
    });
}

#[test]
fn the_metrics_way_out_lets_nothing_else_through() {
    let mut pod = Pod::start();
    pod.container("jitney", env!("CARGO_BIN_EXE_jitney"));
    eventually("the socket is there", || pod.at("run/jitney/admin.sock").exists().then_some(()));
    // Another process may take the port in between: then a next one is tried.
    let address = eventually("the metrics' port answers", || {
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let path = pod.at("etc/metrics/metrics.cfg");
        let text = text(&document(&pod.documents, "ConfigMap", "jitney")["data"]["metrics.cfg"]).to_owned();
        assert!(text.contains("bind 0.0.0.0:9090\n"));
        fs::write(path, pod.moved(&text).replace("0.0.0.0:9090", &address.to_string())).unwrap();
        pod.container("metrics", "haproxy");
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
        while std::time::Instant::now() < deadline && pod.children.last_mut().unwrap().try_wait().unwrap().is_none() {
            if std::net::TcpStream::connect(address).is_ok() {
                return Some(address);
            }
            std::thread::yield_now();
        }
        None
    });
    let url = format!("http://{address}");
    let (status, body) = curl(&[&format!("{url}/metrics")]);
    assert!(status == "200" && body.contains("jitney_build_info"), "{status} {body}");
    assert!(body.ends_with("# EOF\n"), "{body}");
    for path in ["/admin/v1/status", "/admin/v1/leases", "/metrics/../admin/v1/status", "/", "/%6Detrics"] {
        let (status, body) = curl(&["--path-as-is", &format!("{url}{path}")]);
        assert!(status == "403" && !body.contains("jitney"), "{path}: {status} {body}");
    }
    let everything = r#"{"all": true, "reason": "attack"}"#;
    for words in [
        &["-X", "POST", "-H", "Content-Type: application/json", "-d", everything, "/admin/v1/revocations"][..],
        &["-X", "POST", "-d", everything, "/metrics"],
        &["-X", "DELETE", "/metrics"],
    ] {
        let (path, words) = words.split_last().unwrap();
        assert_eq!(curl(&[words, &[&format!("{url}{path}")]].concat()).0, "403", "{path}");
    }
    // Nor hidden behind a request that is let through.
    let hidden = "GET /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nPOST \
                  /admin/v1/revocations HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 33\r\n\r\n\
                  {\"all\": true, \"reason\": \"attack\"}";
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    std::io::Write::write_all(&mut stream, hidden.as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    let _ = std::io::Read::read_to_end(&mut stream, &mut answer);
    let (_, body) = curl(&[&format!("{url}/metrics")]);
    assert!(body.contains("jitney_ends_total{kind=\"all\"} 0"), "nothing was ended");
}
