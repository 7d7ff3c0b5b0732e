//! The bench itself, run as people run it, only shorter.

#[cfg(test)]
mod tests {
    use std::{
        collections::HashMap,
        process::{Command, Output},
    };

    fn bench(arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_futura-bench")).args(arguments).output().unwrap()
    }

    fn text(bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes).unwrap()
    }

    /// The rows of the table under this heading, its header first.
    fn table<'a>(report: &'a str, heading: &str) -> Vec<Vec<&'a str>> {
        let (_, table) =
            report.split_once(&format!("## {heading}")).unwrap_or_else(|| panic!("no {heading}:\n{report}"));
        let rows = table.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
        rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
    }

    /// Allocations of an operation, by case.
    fn allocations(group: &str) -> HashMap<String, f64> {
        let output = Command::new(env!("CARGO_BIN_EXE_futura-bench-allocations")).arg(group).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        let lines = text(&output.stdout).lines().map(|line| line.split('\t').collect::<Vec<_>>());
        lines.map(|fields| (fields[1].to_owned(), fields[2].parse().unwrap())).collect()
    }

    #[test]
    fn a_quick_run_measures_every_case() {
        let output = bench(&["--quick"]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let report = text(&output.stdout);
        let tables = [
            ("HTTP layers, one route", 12),
            ("A counter", 12),
            ("A histogram with 2 labels", 12),
            ("A histogram with exemplars", 4),
            ("A scrape", 8),
            ("HTTP layers with a request span, subscriber", 4),
            ("HTTP layers with a request span and a Sentry scope", 5),
        ];
        for (heading, cases) in tables {
            let rows = table(report, heading);
            assert_eq!(rows.len(), 2 + cases, "{heading}:\n{report}");
            for row in &rows[2..] {
                let median: f64 = row[1].parse().unwrap();
                assert!(median > 0.0, "{row:?}");
            }
            let allocations = rows[0].iter().position(|column| column.starts_with("allocations")).unwrap();
            assert!(rows[2..].iter().all(|row| row[allocations].parse::<f64>().is_ok()), "{report}");
        }
        let memory = table(report, "Memory of an idle series");
        assert!(
            memory[2..].iter().all(|row| row[1..].iter().all(|cell| cell.parse::<f64>().unwrap() > 0.0)),
            "{report}"
        );
        // The sidecar is measured only where it was built for shipping.
        let mut targets = table(report, "Targets");
        targets.retain(|row| !["sidecar: ", "errors: "].iter().any(|group| row[0].starts_with(group)));
        assert_eq!(targets.len(), 2 + 15, "{report}");
        for row in &targets[2..] {
            // On two threads no round may have been without interruption.
            let measured = ["yes", "NO"].contains(&row[3]) || row[0].contains("2 threads");
            assert!(measured, "{row:?}");
        }
        assert!(
            report.contains("## The sidecar beside") || report.contains("sidecar: left out: not built"),
            "{report}"
        );
        assert!(report.contains("## Programs") && report.contains("\nMeasured in "), "{report}");
    }

    #[test]
    fn what_the_layer_allocates_is_what_is_promised() {
        let http = allocations("http");
        let over_bare = |case: &str| http[case] - http["bare router"];
        assert_eq!(over_bare("futura, outermost"), 0.0);
        assert_eq!(over_bare("futura, outermost by wrap"), 1.0);
        // A layer there that does nothing, and the box that axum puts a body of another type into.
        assert_eq!(over_bare("futura, in Router::layer"), over_bare("no-op layer, in Router::layer") + 1.0);
        for group in ["counter", "histogram"] {
            let counted = allocations(group);
            for case in ["futura, handle", "futura, label values"] {
                assert_eq!(counted[case], 0.0, "{group}: {case}");
            }
        }
        assert_eq!(allocations("exemplar")["futura, sampled span"], 0.0);
    }

    #[test]
    fn a_group_that_does_not_exist_is_told_with_those_that_do() {
        let program = env!("CARGO_BIN_EXE_futura-bench-allocations");
        let output = Command::new(program).arg("nothing").output().unwrap();
        assert!(!output.status.success());
        let error = text(&output.stderr);
        assert!(error.contains("group `nothing`: expected one of http, ") && error.contains(", memory"), "{error}");
    }

    #[test]
    fn one_group_can_be_asked_for() {
        let output = bench(&["--quick", "--only", "exemplar"]);
        let report = text(&output.stdout);
        assert_eq!(report.matches("## ").count(), 2, "{report}");
        assert!(report.contains("## A histogram with exemplars") && report.contains("## Targets"), "{report}");
    }

    #[test]
    fn the_command_line_is_explained_and_a_wrong_one_refused() {
        let help = bench(&["--help"]);
        assert!(help.status.success());
        assert!(text(&help.stdout).contains("--quick"));
        let wrong = bench(&["--only", "nothing"]);
        assert_eq!(wrong.status.code(), Some(64));
        assert!(text(&wrong.stderr).contains("nothing"));
    }
}
