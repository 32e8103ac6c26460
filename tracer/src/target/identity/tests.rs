use proptest::prelude::*;

use super::*;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const OUTER: &str = "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";
const UID: &str = "21f5c3de-7b4c-4a8f-9d2e-0a1b2c3d4e5f";
const UNIT: &str = "21f5c3de_7b4c_4a8f_9d2e_0a1b2c3d4e5f";
const STATIC: &str = "a1b2c3d4e5f60718293a4b5c6d7e8f90";
const OTHER: &str = "00000000-0000-4000-8000-000000000000";

/// The path with the names put in; what it must be: the container, its runtime and the pod.
fn check(path: &str, container: Option<&str>, runtime: Option<Runtime>, pod: Option<&str>) {
    let path = path.replace("OUTER", OUTER).replace("STATIC", STATIC).replace("OTHER", OTHER);
    let path = path.replace("UNIT", UNIT).replace("UID", UID).replace("ID", ID);
    let expected = Identity {
        container: container.map(str::to_owned),
        runtime,
        pod_uid: pod.map(str::to_owned),
        cgroup: path.clone(),
    };
    assert_eq!(Identity::of_cgroup(&path), expected, "{path}");
    assert_eq!(Identity::of_cgroups(&format!("0::{path}\n")), expected, "{path}");
    assert_eq!(Identity::of_cgroups(&format!("0::/\n5:cpu,cpuacct:{path}\n")).container, expected.container);
}

#[test]
fn containers_are_known_by_their_groups_names() {
    use Runtime::{Containerd, CriO, Docker, Podman};
    for (path, runtime) in [
        ("/system.slice/docker-ID.scope", Some(Docker)),
        ("/docker/ID", Some(Docker)),
        ("/docker/ID/system.slice/nginx.service", Some(Docker)),
        ("/user.slice/user-1000.slice/user@1000.service/user.slice/docker-ID.scope", Some(Docker)),
        ("/system.slice:docker:ID", Some(Docker)),
        ("/system.slice/nerdctl-ID.scope", Some(Containerd)),
        ("/k8s.io/ID", Some(Containerd)),
        ("/machine.slice/libpod-ID.scope", Some(Podman)),
        ("/machine.slice/libpod-ID.scope/container", Some(Podman)),
        ("/machine.slice/machine-libpod_pod_OUTER.slice/libpod-ID.scope/container", Some(Podman)),
        ("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope/container", Some(Podman)),
        ("/system.slice/web.service/libpod-payload-ID", Some(Podman)),
        ("/libpod_parent/libpod-ID", Some(Podman)),
        ("/machine.slice/crio-ID.scope", Some(CriO)),
        // Who made these is not in their names.
        ("/default/ID", None),
        ("/ecs/5f0c/ID", None),
        ("/../../ID", None),
        ("/some.slice/buildah-ID.scope", None),
        // The inner one of two.
        ("/docker/OUTER/docker/ID", Some(Docker)),
        ("/system.slice/docker-OUTER.scope/system.slice/nerdctl-ID.scope", Some(Containerd)),
        ("/system.slice/docker-ID.scope (deleted)", Some(Docker)),
    ] {
        check(path, Some(ID), runtime, None);
    }
}

#[test]
fn pods_are_known_by_their_groups_names() {
    use Runtime::{Containerd, CriO, Docker};
    for (path, runtime) in [
        // The kubelet's cgroupfs driver, with the three classes of service.
        ("/kubepods/podUID/ID", None),
        ("/kubepods/burstable/podUID/ID", None),
        ("/kubepods/besteffort/podUID/ID", None),
        ("/kubepods/burstable/podUID/crio-ID", Some(CriO)),
        // systemd's.
        ("/kubepods.slice/kubepods-podUNIT.slice/cri-containerd-ID.scope", Some(Containerd)),
        (
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podUNIT.slice/cri-containerd-ID.scope",
            Some(Containerd),
        ),
        (
            "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podUNIT.slice/crio-ID.scope",
            Some(CriO),
        ),
        (
            "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podUNIT.slice/crio-ID.scope/container",
            Some(CriO),
        ),
        (
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podUNIT.slice/docker-ID.scope",
            Some(Docker),
        ),
        // The one asks systemd and the other does not.
        (
            "/system.slice/containerd.service/kubepods-burstable-podUNIT.slice:cri-containerd:ID",
            Some(Containerd),
        ),
        ("/kubepods-burstable-podUNIT.slice:cri-containerd:ID", Some(Containerd)),
        // kind: the kubelet's groups are in one of its own, in a container.
        (
            "/system.slice/docker-OUTER.scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-podUNIT.slice/cri-containerd-ID.scope",
            Some(Containerd),
        ),
        ("/docker/OUTER/kubelet/kubepods/besteffort/podUID/ID", None),
        // A cluster in a pod.
        ("/kubepods/podOTHER/OUTER/kubepods/burstable/podUID/ID", None),
        // As seen from another pod's cgroup namespace.
        ("/../../podUID/ID", None),
        (
            "/../../../kubepods-besteffort.slice/kubepods-besteffort-podUNIT.slice/cri-containerd-ID.scope",
            Some(Containerd),
        ),
        // Docker in a pod, systemd in a pod's container.
        ("/kubepods/burstable/podUID/OUTER/docker/ID", Some(Docker)),
        ("/kubepods/burstable/podUID/ID/init.scope", None),
    ] {
        check(path, Some(ID), runtime, Some(UID));
    }
    check("/kubepods/burstable/podSTATIC/ID", Some(ID), None, Some(STATIC));
    check("/kubepods.slice/kubepods-podSTATIC.slice/crio-ID.scope", Some(ID), Some(CriO), Some(STATIC));
}

/// conmon, and a pod's group that has no container between it and the process, though it is in one.
#[test]
fn what_is_in_a_pod_need_not_be_in_its_containers() {
    check("/kubepods/burstable/podUID/crio-conmon-ID", None, None, Some(UID));
    check("/kubepods.slice/kubepods-podUNIT.slice/crio-conmon-ID.scope", None, None, Some(UID));
    check("/machine.slice/libpod-conmon-ID.scope", None, None, None);
    check("/kubepods/burstable/podUID", None, None, Some(UID));
    check("/docker/OUTER/kubelet/kubepods/podUID/other", None, None, Some(UID));
}

#[test]
fn what_is_no_id_is_none() {
    for path in [
        "/",
        "/user.slice/user-0.slice/session-1.scope",
        "/docker/0ID",
        "/docker/IDg",
        "/docker/0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef",
        "/kubepods/besteffort",
        "/kubepods.slice/kubepods-besteffort.slice",
        "/kubepods/pod/web",
        "/kubepods/podOTHER0",
        "/kubepods/pod21f5c3de-7b4c-4a8f-9d2e-0a1b2c3d4e5",
        "/kubepods/podUNIT",
        "/kubepods.slice/kubepods-pod1_2.slice",
        "/mine.slice/mine-podUNIT.slice",
        "/libpod_parent/conmon",
        ":ID",
        "",
    ] {
        check_none(&path.replace("OTHER", OTHER).replace("UNIT", UNIT).replace("ID", ID));
    }
}

fn check_none(path: &str) {
    let none = Identity { cgroup: path.to_owned(), ..Identity::default() };
    assert_eq!(Identity::of_cgroup(path), none, "{path}");
}

#[test]
fn the_hierarchy_that_tells_most_counts() {
    let of = |text: &str| Identity::of_cgroups(&text.replace("UID", UID).replace("ID", ID));
    // Both versions: the second has the service only.
    let both =
        of("12:pids:/kubepods/podUID/ID\n1:name=systemd:/kubepods/podUID/ID\n0::/system.slice/x.service\n");
    assert_eq!((both.container.as_deref(), both.pod_uid.as_deref()), (Some(ID), Some(UID)));
    let systemd = of("4:memory:/other\n1:name=systemd:/init.scope\n");
    assert_eq!((systemd.cgroup.as_str(), systemd.container), ("/init.scope", None));
    assert_eq!(of("3:cpu:/kubepods/podUID\n0::/x\n").pod_uid.as_deref(), Some(UID));
    // Groups may have colons in their names.
    assert_eq!(of("0::/a:b/c\n").cgroup, "/a:b/c");
    for nothing in ["", "\n\n", "0:", "0::", "no line", "0::relative"] {
        assert_eq!(of(nothing), Identity::default(), "{nothing}");
    }
}

#[test]
fn ones_own_group_is_known() {
    let own = Process::of_pid(std::process::id()).unwrap().identity();
    assert!(own.cgroup.starts_with('/'), "{own:?}");
}

proptest! {
    #[test]
    fn any_text_is_read_and_nothing_is_made_up(text in any_groups()) {
        let identity = Identity::of_cgroups(&text);
        prop_assert!(identity.cgroup.len() <= LONGEST_PATH && text.contains(&identity.cgroup));
        if let Some(id) = &identity.container {
            prop_assert!(is_id(id) && identity.cgroup.contains(id.as_str()));
        }
        if let Some(uid) = &identity.pod_uid {
            prop_assert!(is_uid(uid) && identity.cgroup.replace('_', "-").contains(uid.as_str()));
        }
        prop_assert!(identity.runtime.is_none() || identity.container.is_some());
    }
}

/// Text of which much is nearly what groups are named.
fn any_groups() -> impl Strategy<Value = String> {
    let names: Vec<&'static str> = vec![
        "docker", "kubepods", "pod", "-pod", ".slice", ".scope", "crio-", "conmon-", ID, UID, UNIT, STATIC,
    ];
    let part = prop_oneof![
        proptest::sample::select(names).prop_map(str::to_owned),
        proptest::sample::select(vec![
            "/",
            ":",
            "-",
            "_",
            "\n",
            "0::/",
            "3:cpu:/",
            " (deleted)",
            "..",
            "\u{1b}[2J"
        ])
        .prop_map(str::to_owned),
        any::<String>(),
    ];
    proptest::collection::vec(part, 0..40).prop_map(|parts| parts.concat())
}
