//! What holds for every input.

use proptest::prelude::*;

use super::{EKS, zone};
use crate::*;

/// Text that is often close to a Corefile.
fn scraps() -> impl Strategy<Value = String> {
    let scrap = prop_oneof![
        Just(" { "),
        Just("}"),
        Just("\n"),
        Just(" "),
        Just("\""),
        Just("\\"),
        Just("#"),
        Just(","),
        Just("import a"),
        Just("(a) {\n"),
        Just(".:53 {\n"),
        Just("ns.svc.cluster.local:53 {\n"),
        Just("forward . 10.0.0.1 {\n"),
        Just("force_tcp\n"),
        Just("cache 30\n"),
        Just("errors\n"),
        Just("{$X}"),
        Just("10.0.0.0/9"),
        Just("é"),
        Just("\r\n"),
        Just("}\n}\n"),
        Just("reload 5s\n"),
        Just("kubernetes cluster.local {\n"),
    ];
    prop::collection::vec(scrap, 0..40).prop_map(|scraps| scraps.concat())
}

proptest! {
    #[test]
    fn nothing_makes_the_reader_panic(text in prop_oneof![scraps(), "[ -~\n]{0,300}", ".{0,100}"]) {
        let zones = [zone("ns", &[[10, 0, 0, 1]])];
        if let Ok(corefile) = Corefile::parse(&text) {
            let _ = check(&corefile);
            nested_zones(&corefile);
            forwarded_zones(&corefile);
            corefile.token_json();
            for block in &corefile.blocks {
                // Places are places in the text.
                prop_assert!(text.get(block.span.clone()).is_some());
                prop_assert!(block.directives.iter().all(|it| text.get(it.span.clone()).is_some()));
            }
        }
        let _ = Corefile::parse_with_env(&text, &|_| Some("{$X}".to_owned()));
        let _ = undo(&text, &zones);
        let _ = plan_edit_with(&text, &zones, EditOptions { replace: true });
    }

    #[test]
    fn an_edit_of_any_readable_file_keeps_its_blocks_and_is_undone(text in scraps()) {
        let zones = [zone("other", &[[10, 0, 0, 1]]), zone("another", &[[10, 0, 0, 2]])];
        let Ok(before) = Corefile::parse(&text) else { return Ok(()) };
        match plan_edit(&text, &zones) {
            Ok(edited) => {
                prop_assert!(edited.text.starts_with(&text));
                let after = Corefile::parse(&edited.text).unwrap();
                prop_assert_eq!(&after.blocks[..before.blocks.len()], &before.blocks[..]);
                prop_assert_eq!(after.blocks.len(), before.blocks.len() + 2);
                prop_assert!(!plan_edit(&edited.text, &zones).unwrap().changed());
                let restored = restore(&edited.text, &text, &zones).unwrap();
                prop_assert_eq!(restored, Restored { text, exact: true });
            }
            Err(EditError::Braceless { .. }) => prop_assert!(before.blocks.iter().any(|block| !block.braced)),
            Err(EditError::OpenEnd) => prop_assert!(text.contains('"')),
            Err(other) => prop_assert!(false, "{other}"),
        }
    }

    #[test]
    fn what_is_not_edited_comes_back_byte_for_byte(
        comment in "[ -~]{0,40}",
        spaces in "[ \t]{0,5}",
        end in prop::sample::select(vec!["", "\n", "\n\n", "\r\n", "  ", "\n# end"]),
        upstreams in prop::collection::vec(any::<[u8; 4]>(), 1..15),
    ) {
        let before = format!("# {comment}\n{spaces}.:53 {{ # {comment}\n{spaces}errors\n\tforward . /etc/resolv.conf\n}}{end}");
        let zones = [zone("ns-2", &upstreams)];
        let edited = plan_edit(&before, &zones).unwrap();
        prop_assert!(edited.text.starts_with(&before));
        prop_assert!(!plan_edit(&edited.text, &zones).unwrap().changed());
        let (old, new) = (Corefile::parse(&before).unwrap(), Corefile::parse(&edited.text).unwrap());
        prop_assert_eq!(old.blocks[0].text(&before), new.blocks[0].text(&edited.text));
        prop_assert_eq!(new.blocks.len(), 2);
    }

    #[test]
    fn replacing_touches_the_bytes_of_one_block(before in "[a-z #]{0,20}", behind in "[a-z #\n]{0,20}") {
        let wrong = "ns-2.svc.cluster.local {\n errors\n}";
        let text = format!("# {before}\n{EKS}{wrong} # x\n# {behind}");
        let wanted = [zone("ns-2", &[[10, 2, 0, 5]])];
        if let Ok(edited) = plan_edit_with(&text, &wanted, EditOptions { replace: true }) {
            prop_assert_eq!(edited.text, text.replace(wrong, wanted[0].block().trim_end()));
        }
    }
}
