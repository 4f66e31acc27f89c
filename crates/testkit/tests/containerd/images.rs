//! Where the Wasm comes from.

use std::fs;

use image::{Format, ImageBuilder};
use testkit::guest;

const WAT: &str = include_str!("../../../../test-images/wat/hello.wat");

fn in_a_rootfs(path: &str, bytes: Vec<u8>) -> ImageBuilder {
    ImageBuilder::new().format(Format::Rootfs).rootfs_file(path, bytes, 0o644).entrypoint([path])
}

/// The entries of the AOT cache: name and inode.
pub fn cached(daemon: &testkit::Containerd) -> anyhow::Result<Vec<(String, u64)>> {
    use std::os::unix::fs::MetadataExt;
    let mut entries = Vec::new();
    for entry in fs::read_dir(daemon.nest().see("/var/lib/run-wasm/aot"))? {
        let entry = entry?;
        entries.push((entry.file_name().to_string_lossy().into_owned(), entry.metadata()?.ino()));
    }
    entries.retain(|(name, _)| name.ends_with(".cwasm"));
    entries.sort();
    Ok(entries)
}

testkit::stories! {
    fn wasm_in_a_root_file_system_runs(daemon) {
        for file in ["hello.wasm", "hello.p1.wasm", "hello.p3.wasm"] {
            let image = in_a_rootfs("/app/main.wasm", guest(file)?);
            let hello = daemon.run_image(&format!("rootfs-{file}"), image, "/app/main.wasm").outcome()?;
            assert_eq!((hello.code, hello.stdout.as_str()), (0, "hello from run-wasm\n"), "{hello}");
        }
    }

    fn wasm_text_in_a_root_file_system_runs(daemon) {
        let image = in_a_rootfs("/hello.wat", WAT.as_bytes().to_vec());
        let hello = daemon.run_image("text", image, "/hello.wat").outcome()?;
        assert_eq!((hello.code, hello.stdout.as_str()), (0, "hello from wat\n"), "{hello}");
    }

    fn a_function_is_called_by_its_name(daemon) {
        for file in ["library.wasm", "library.p1.wasm"] {
            let called = daemon.run(file).program(&format!("/{file}#run-me")).outcome()?;
            assert_eq!((called.code, called.stdout.as_str()), (0, "run-me was called\n"), "{called}");
        }
    }

    fn a_function_that_is_not_there_is_refused_with_those_that_are(daemon) {
        let refused = daemon.run("library.wasm").program("/library.wasm#walk-me").outcome()?.refusal()?;
        assert!(refused.contains("walk-me") && refused.contains("run-me"), "{refused}");
    }

    fn of_several_layers_the_first_word_chooses(daemon) {
        let image = || -> anyhow::Result<ImageBuilder> {
            Ok(ImageBuilder::new().wasm("first.wasm", guest("hello.wasm")?).wasm("second.wasm", guest("hello-c.wasm")?))
        };
        let first = daemon.run_image("two", image()?, "/first.wasm").outcome()?;
        assert_eq!(first.stdout, "hello from run-wasm\n", "{first}");
        let second = daemon.run_image("two", image()?, "/second.wasm").args([""; 0]).outcome()?;
        assert_eq!(second.stdout, "hello from c\n", "{second}");
    }

    fn a_large_component_is_compiled_once(daemon) {
        for (file, words) in [("hello-js.wasm", "hello from javascript\n"), ("hello-py.wasm", "hello from python\n")] {
            let first = daemon.run(file).outcome()?;
            assert_eq!((first.code, first.stdout.as_str()), (0, words), "{first}");
            let compiled = cached(daemon)?;
            let second = daemon.run(file).outcome()?;
            assert_eq!((second.code, second.stdout.as_str()), (0, words), "{second}");
            assert_eq!(cached(daemon)?, compiled);
        }
        assert_eq!(cached(daemon)?.len(), 2);
    }
}
