use super::*;

fn runs(present: &[Present], mapped: &[MappedRange]) -> Vec<(u64, u64, Kind)> {
    let runs = classify(present, mapped);
    runs.iter()
        .map(|run| (run.start, run.end, run.kind))
        .collect()
}

fn range(start: u64, end: u64, class: Class) -> MappedRange {
    MappedRange { start, end, class }
}

fn pages(start: u64, end: u64, file: bool, huge: bool) -> Present {
    Present {
        start,
        end,
        file,
        huge,
    }
}

#[test]
fn pages_count_as_what_their_mapping_is() {
    let mapped = [
        range(0x1000, 0x3000, Class::File),
        range(0x3000, 0x5000, Class::Shmem),
        range(0x5000, 0x7000, Class::Uncounted),
    ];
    let present = [
        pages(0x2000, 0x6000, true, false),
        pages(0x6000, 0x9000, false, false),
    ];
    assert_eq!(
        runs(&present, &mapped),
        [
            (0x2000, 0x3000, Kind::File),
            (0x3000, 0x5000, Kind::Shmem),
            // Mapped since.
            (0x7000, 0x9000, Kind::Anonymous),
        ]
    );
    let huge = [pages(0x1000, 0x3000, false, true)];
    assert_eq!(runs(&huge, &mapped), [(0x1000, 0x3000, Kind::Huge)]);
}

/// Both ways to look at this process agree with the kernel's own sums.
fn agrees_with_smaps(method: Method) {
    use std::os::unix::fs::FileExt as _;
    let pid = std::process::id();
    let mut memory = memmap2::MmapOptions::new().len(3 << 20).map_anon().unwrap();
    for page in memory.chunks_mut(2 * PAGE as usize).take(100) {
        page[0] = 1;
    }
    // Of zeros: not part of RSS.
    std::hint::black_box(memory[(1 << 20) + 1]);
    let file = tempfile::tempfile_in("/dev/shm").unwrap();
    file.write_all_at(&vec![1; 9 * PAGE as usize], 0).unwrap();
    // SAFETY: nobody else has the file.
    let shared = unsafe { memmap2::Mmap::map(&file) }.unwrap();
    assert!(shared.iter().all(|&byte| byte == 1));
    let residency = Residency::of(pid, method).unwrap();
    let within = |start: usize, length: usize| {
        let (start, end) = (start as u64, (start + length) as u64);
        residency
            .runs
            .iter()
            .map(|run| {
                (
                    run.kind,
                    run.end.min(end).saturating_sub(run.start.max(start)),
                )
            })
            .filter(|(_, bytes)| *bytes > 0)
            .fold(ByKind::default(), |mut sum, (kind, bytes)| {
                sum.add(kind, bytes);
                sum
            })
    };
    let own = within(memory.as_ptr() as usize, memory.len());
    assert_eq!((own.anonymous(), own.sum()), (100 * PAGE, 100 * PAGE));
    let of_file = within(shared.as_ptr() as usize, shared.len());
    assert_eq!(
        (of_file.of(Kind::Shmem), of_file.sum()),
        (9 * PAGE, 9 * PAGE)
    );
}

#[test]
fn the_scan_finds_what_was_touched() {
    agrees_with_smaps(Method::Scan);
}

#[test]
fn pagemap_finds_what_was_touched() {
    agrees_with_smaps(Method::Pagemap);
}

#[test]
fn more_ranges_than_one_call_has_room_for_are_found_once_each() {
    const PAGES: usize = 20_000;
    let length = PAGES * PAGE as usize;
    let mut memory = memmap2::MmapOptions::new().len(length).map_anon().unwrap();
    for page in memory.chunks_mut(2 * PAGE as usize) {
        page[0] = 1;
    }
    let (start, end) = (
        memory.as_ptr() as u64,
        memory.as_ptr() as u64 + length as u64,
    );
    for method in [Method::Scan, Method::Pagemap] {
        let residency = Residency::of(std::process::id(), method).unwrap();
        let runs = residency.runs;
        assert!(runs.windows(2).all(|pair| pair[0].end <= pair[1].start));
        let within = runs
            .iter()
            .filter(|run| start <= run.start && run.end <= end);
        let (count, bytes) = within.fold((0, 0), |(count, bytes), run| {
            (count + 1, bytes + run.end - run.start)
        });
        assert_eq!((count, bytes), (PAGES / 2, length as u64 / 2), "{method:?}");
    }
}

/// What a look costs: printed, as it depends on the machine. Needs 4 GiB.
#[test]
fn a_million_pages_are_looked_at() {
    const PAGES: usize = 1 << 20;
    let memory = memmap2::MmapOptions::new()
        .len(PAGES * PAGE as usize)
        .populate()
        .map_anon()
        .unwrap();
    let (start, end) = (
        memory.as_ptr() as u64,
        memory.as_ptr() as u64 + memory.len() as u64,
    );
    for method in [Method::Scan, Method::Pagemap] {
        let begin = std::time::Instant::now();
        let mut residency = Residency::of(std::process::id(), method).unwrap();
        let first = begin.elapsed();
        let within = residency
            .runs
            .iter()
            .map(|run| run.end.min(end).saturating_sub(run.start.max(start)));
        assert_eq!(within.sum::<u64>(), memory.len() as u64, "{method:?}");
        let mut before = residency.clone();
        before.large_made += 1;
        let begin = std::time::Instant::now();
        residency
            .look_closer(std::process::id(), &before, 0)
            .unwrap();
        let closer = begin.elapsed();
        println!("{PAGES} pages, {method:?}: {first:?}, and {closer:?} for a closer look");
    }
}
