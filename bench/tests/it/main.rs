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

    /// Allocations of an operation, by group and case.
    fn allocations() -> HashMap<(String, String), f64> {
        let output = Command::new(env!("CARGO_BIN_EXE_futura-bench-allocations")).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        let lines = text(&output.stdout).lines().map(|line| line.split('\t').collect::<Vec<_>>());
        lines.map(|fields| ((fields[0].to_owned(), fields[1].to_owned()), fields[2].parse().unwrap())).collect()
    }

    #[test]
    fn a_quick_run_measures_every_case() {
        let output = bench(&["--quick"]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let report = text(&output.stdout);
        for (heading, cases) in [("HTTP layers, one route", 8), ("A counter", 6), ("A histogram", 6), ("A scrape", 5)] {
            let rows = table(report, heading);
            assert_eq!(rows.len(), 2 + cases, "{heading}:\n{report}");
            for row in &rows[2..] {
                let median: f64 = row[1].parse().unwrap();
                assert!(median > 0.0, "{row:?}");
            }
            let allocations = rows[0].iter().position(|column| column.starts_with("allocations")).unwrap();
            assert!(rows[2..].iter().all(|row| row[allocations].parse::<f64>().is_ok()), "{report}");
        }
        assert_eq!(table(report, "HTTP layers with a request span").len(), 2 + 4, "{report}");
        assert!(report.contains("## Programs") && report.contains("\nMeasured in "), "{report}");
    }

    #[test]
    fn what_the_layer_allocates_is_what_is_promised() {
        let counted = allocations();
        let over_bare = |case: &str| {
            let of = |case: &str| counted[&("http".to_owned(), case.to_owned())];
            of(case) - of("bare router")
        };
        assert_eq!(over_bare("futura, outermost"), 0.0);
        assert_eq!(over_bare("futura, outermost by wrap"), 1.0);
        // A layer there that does nothing, and the box that axum puts a body of another type into.
        assert_eq!(over_bare("futura, in Router::layer"), over_bare("no-op layer, in Router::layer") + 1.0);
        for group in ["counter", "histogram"] {
            for case in ["futura, handle", "futura, label values"] {
                assert_eq!(counted[&(group.to_owned(), case.to_owned())], 0.0, "{group}: {case}");
            }
        }
    }

    #[test]
    fn one_group_can_be_asked_for() {
        let output = bench(&["--quick", "--only", "encode"]);
        let report = text(&output.stdout);
        assert_eq!(report.matches("## ").count(), 1, "{report}");
        assert!(report.contains("## A scrape"), "{report}");
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
