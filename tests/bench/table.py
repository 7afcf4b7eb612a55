"""Shows a benchmark document: every round's span as text, and the medians as
one Markdown table."""

OTHERS_MAX = 0.05  # of the machine; more of it disturbs the figures


def number(value, digits):
    return f"{value:,.{digits}f}"


def title_of(case, metric):
    return case["title"] + (": " + metric["title"] if metric["title"] else "")


def having(case, metric):
    """The systems that have this metric, with their figures."""
    return [(system, system["figures"][metric["name"]])
            for system in case["systems"]
            if metric["name"] in system["figures"]]


def measured(case):
    """The metrics that any system has."""
    return [metric for metric in case["metrics"] if having(case, metric)]


def goal_words(case, goal):
    """4.07 × nats-server, goal 4 ×, met"""
    verdict = "met" if goal["met"] else "MISSED"
    if goal["kind"] == "times":
        return (f"{goal['value']:.2f} × {goal['against']}; "
                f"goal {goal['limit']:g} ×, {verdict}")
    if goal["kind"] == "under":
        return f"goal under {goal['limit']:g}, {verdict}"
    if goal["kind"] == "over":
        return f"goal at least {goal['limit']:,}, {verdict}"
    most = "at most " if goal["kind"] == "most" else ""
    return (f"{share_words(case, goal)}; "
            f"goal {most}{goal['limit']:.0%}, {verdict}")


def share_words(case, goal):
    """101% of “none”"""
    against = next(metric["title"] for metric in case["metrics"]
                   if metric["name"] == goal["against"])
    return f"{goal['value']:.0%} of “{against}”"


def goals_of(case, metric):
    return [goal for goal in case["goals"] if goal["metric"] == metric["name"]]


# ---- text ----


def machine_words(document):
    machine = document["machine"]
    return (f"{document['date']}, {machine['cores']} cores "
            f"({machine['model']}), {document['rounds']} rounds"
            + (", quick" if document["quick"] else ""))


def print_text(document):
    print("tidings bench, " + machine_words(document))
    print("128-byte data; medians, in brackets the lowest and highest round")
    for case in document["cases"]:
        for metric in measured(case):
            print_metric(case, metric)
        for system, reason in case["skipped"].items():
            print(f"  skipped: {system}: {reason}")
        if case["others_share"] > OTHERS_MAX:
            print(f"  disturbed: other processes had "
                  f"{case['others_share']:.0%} of the machine meanwhile")
    print("\n" + document["checked"])


def print_metric(case, metric):
    digits = metric["digits"]
    title = f"{title_of(case, metric)}, {metric['unit']}"
    print(f"\n{title:<65}  tidings is")
    for system, figure in having(case, metric):
        spread = (f"[{number(min(figure['rounds']), digits)} … "
                  f"{number(max(figure['rounds']), digits)}]")
        ratio = figure["times_better"]
        ratio = (f"{ratio:>6.2f} ×" if ratio and system["kind"] != "ours"
                 else "")
        print(f"  {system['system']:<27}"
              f"{number(figure['median'], digits):>11}"
              f"  {spread:<25}{ratio}".rstrip())
    for goal in goals_of(case, metric):
        print(f"  {goal_words(case, goal)}")


# ---- Markdown ----


def comparison(case, metric, against):
    """How many times better ours is than the system in this column, and what
    it keeps of the figure that it must not fall far below."""
    words = [f"{figure['times_better']:.2f} ×"
             for system, figure in having(case, metric)
             if system["column"] == against and figure["times_better"]]
    words += [share_words(case, goal) for goal in goals_of(case, metric)
              if goal["kind"] in ("share", "most")]
    return "; ".join(words)


def cells(case, metric, heads):
    """A row: what is measured, the three columns, others, the comparison."""
    figures = having(case, metric)
    best = (max if metric["better"] == "higher" else min)(
        [figure["median"] for system, figure in figures
         if system["kind"] != "reference"], default=None)
    columns = dict.fromkeys(heads, "")
    others = []
    for system, figure in figures:
        text = number(figure["median"], metric["digits"])
        if figure["median"] == best:
            text = f"**{text}**"
        if system["column"]:
            columns[system["column"]] = text
        else:
            others.append(f"{text} {system['system']}")
    return [f"{title_of(case, metric)}, {metric['unit']}", *columns.values(),
            "; ".join(others), comparison(case, metric, heads[1])]


def markdown(document):
    """One table of all medians, the best of each row in bold."""
    columns = document["columns"]
    heads = ["", *columns, "others", f"better than {columns[1]}"]
    rows = [heads, ["---", *["---:"] * (len(heads) - 1)]]
    for case in document["cases"]:
        rows += [cells(case, metric, columns) for metric in measured(case)]
    return "".join("|" + "".join(f" {cell} |" if cell else " |"
                                 for cell in row) + "\n" for row in rows)
