//! CSV that is data, and CSV that is none.

use dtn_train::{Import, Imported, LabelColumn, Scaling, Task, data::ImportError};

const PLAIN: Import = Import { label: LabelColumn::Last, is_number: false, scaling: Scaling::None, clip: false };

fn read(import: &Import, text: &str) -> Result<Imported, ImportError> {
    import.read(text.as_bytes())
}

#[test]
fn features_classes_and_labels_are_read_exactly() {
    let found = read(&PLAIN, "a,b,label\n1,-0.5,yes\n 2.25 ,3e-1,no\n-8,7.9998,yes\n").unwrap();
    assert_eq!(found.classes, ["no", "yes"]);
    let data = found.data;
    assert_eq!(data.outline().task, Task::Classes(2));
    assert_eq!(data.features(0), [4096, -2048]);
    assert_eq!(data.features(1), [9216, 1229]);
    assert_eq!(data.features(2), [i16::MIN, i16::MAX]);
    assert_eq!([0, 1, 2].map(|row| data.label(row)), [1, 0, 1]);
    // Whole numbers are in their order, not in that of their digits.
    let numbers = read(&PLAIN, "a,label\n1,10\n1,9\n1,-1\n").unwrap();
    assert_eq!(numbers.classes, ["-1", "9", "10"]);
    let named = Import { label: LabelColumn::Named("kind".into()), ..PLAIN };
    let data = read(&named, "kind,a\nx,1\ny,2\n").unwrap().data;
    assert_eq!((data.features(1), data.label(1)), (&[8192i16][..], 1));
    let number = Import { is_number: true, scaling: Scaling::MinMax, ..PLAIN };
    let data = read(&number, "a,label\n10,1\n30,3\n20,2\n").unwrap().data;
    assert_eq!([0, 1, 2].map(|row| data.features(row)[0]), [0, 4096, 2048]);
    assert_eq!([0, 1, 2].map(|row| data.label(row)), [-80265, 80265, 0]);
}

#[test]
fn every_fault_of_a_file_is_one_line_that_says_where() {
    let said = |text: &str| read(&PLAIN, text).unwrap_err().to_string();
    for (text, expected) in [
        ("", "names the columns"),
        ("1,2\n3,4\n", "numbers only"),
        ("a,label\n", "0 rows"),
        ("label\nx\ny\n", "0 features"),
        ("a,label\nx,1\n2,2\n", "line 2, column \"a\": \"x\" is no number"),
        ("a,label\n1,1\nNaN,2\n", "line 3, column \"a\": \"NaN\""),
        ("a,label\n1,1\ninf,2\n", "\"inf\""),
        ("a,label\n1,1\n,2\n", "line 3, column \"a\": \"\""),
        ("a,label\n1,1\n1,2,3\n", "line 3 has 3 fields, the first line 2"),
        ("a,label\n1,1\n1\n", "line 3 has 1 fields"),
        ("a,label\n1,x\n2,x\n", "all labels are \"x\""),
        ("a,label\n1,x\n2,\n", "line 3 has no label"),
        ("a,label\n1,x\n8,y\n", "line 3, column \"a\": 8.000 is beyond ±8"),
        ("a,label\n1,x\n1e30,y\n", "beyond 2^36"),
    ] {
        let said = said(text);
        assert!(said.contains(expected) && !said.contains('\n'), "{text:?}: {said}");
    }
    let column = Import { label: LabelColumn::Named("price".into()), ..PLAIN };
    assert!(read(&column, "a,b\n1,2\n").unwrap_err().to_string().contains("there are a, b"));
    let many: String = (0..300).map(|row| format!("1,{row}\n")).collect();
    assert!(said(&format!("a,label\n{many}")).contains("300 different labels"));
    assert!(matches!(PLAIN.read(&b"a,label\n1,\xff\n"[..]), Err(ImportError::NotText { line: 2, .. })));
    let rows = format!("a,label\n{}", "1,2\n".repeat(dtn_train::data::MAX_ROWS + 1));
    assert!(said(&rows).contains("1000001 rows"));
    let long = vec![b'1'; dtn_train::data::MAX_DATA_BYTES + 1];
    assert!(matches!(PLAIN.read(&long[..]), Err(ImportError::TooLong)));
}

#[test]
fn what_is_beyond_is_clipped_only_if_that_is_asked_for_and_counted() {
    let clip = Import { clip: true, ..PLAIN };
    let found = read(&clip, "a,label\n9,x\n-1000,y\n1,y\n").unwrap();
    assert_eq!(found.clipped, 2);
    assert_eq!([0, 1, 2].map(|row| found.data.features(row)[0]), [i16::MAX, i16::MIN, 4096]);
    // One of many is far from the rest.
    let outlier: String = (0..10_000).map(|row| format!("0,{}\n", row % 2)).collect();
    let standard = Import { scaling: Scaling::Standard, ..PLAIN };
    let said = read(&standard, &format!("a,label\n{outlier}1,0\n")).unwrap_err().to_string();
    assert!(said.contains("line 10002") && said.contains("100.0"), "{said}");
}
