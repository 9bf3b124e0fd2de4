"use strict";
(() => {
  const { report, plots } = JSON.parse(document.getElementById("data").textContent);
  const css = getComputedStyle(document.documentElement);
  const ink = css.getPropertyValue("--quiet").trim(), line = css.getPropertyValue("--line").trim();
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const colours = dark ? ["#6ea8fe", "#ffb454", "#63d297", "#f58bb8", "#c9a7ff", "#8fd6e8"]
                       : ["#1f5fbf", "#c2600a", "#15803d", "#be185d", "#6d28d9", "#0e7490"];
  const make = (name, text, into, cls) => { const e = document.createElement(name); if (text !== undefined) e.textContent = text; if (cls) e.className = cls; into.append(e); return e; };
  const number = (n, digits = 0) => n === null || n === undefined ? "–" : n.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  const ms = n => n === null || n === undefined ? "–" : n >= 1000 ? number(n / 1000, n % 1000 ? 2 : 0) + " s" : number(n, n < 10 ? 1 : 0) + " ms";
  const w = report.window, machine = report.machine;
  document.getElementById("subtitle").textContent = `${report.backend} · ${w.rates.map(r => number(r)).join(", ")} commands/s asked for, ` +
    `${number(w.seconds, 1)} s, drained ${number(w.drain_seconds, 1)} s later · ${new Date(w.began * 1000).toISOString().replace("T", " ").slice(0, 19)} UTC · ${machine.cores} × ${machine.cpu}, ${machine.memory_gb} GB`;
  const verdict = document.getElementById("verdict"), good = report.faults.length === 0;
  verdict.className = good ? "good" : "bad";
  verdict.textContent = good ? `✓ nothing lost, repeated or out of order; audit clean over ${number(report.audit.streams)} streams and ${number(report.audit.events)} events`
                             : `✗ failed: ${report.faults.length} ${report.faults.length === 1 ? "thing is" : "things are"} wrong`;
  if (!good) {
    const list = document.querySelector("#faults ul");
    document.getElementById("faults").hidden = false;
    report.faults.slice(0, 50).forEach(each => make("li", each, list));
    if (report.faults.length > 50) make("li", `… and ${report.faults.length - 50} more`, list);
  }
  const tiles = document.getElementById("tiles");
  const tile = (value, text) => { const t = make("div", undefined, tiles, "tile"); make("b", value, t); make("span", text, t); };
  tile(number(report.accepted_per_s), "commands accepted a second");
  tile(number(report.projected_per_s), "commands projected a second, drain included");
  tile(ms(report.latency_ms.accepted.p50), `post to 202, median (p99 ${ms(report.latency_ms.accepted.p99)})`);
  tile(ms(report.latency_ms.visible.p50), `post to visible, median (p99 ${ms(report.latency_ms.visible.p99)})`);
  tile(number(report.requests_per_1000_commands, 1), "AWS requests per 1,000 commands");
  tile(number(report.cpu_ms_per_command, 3) + " ms", `CPU a command, all ${Object.keys(report.cpu_ms).length} roles`);
  tile(report.dollars_per_million === null ? "–" : "$" + number(report.dollars_per_million, 2), "per million commands, as AWS bills");

  const holder = document.getElementById("plots");
  const drawn = [];
  const unit = { s: v => v === null ? "–" : number(v, 2) + " s", ms, n: v => number(v), cores: v => number(v, 2), mb: v => number(v) + " MB" };
  const marks = { hooks: { draw: [u => {
    if (!u.marks) return;
    const x = u.valToPos(w.seconds, "x", true), top = u.bbox.top, bottom = top + u.bbox.height;
    if (x < u.bbox.left || x > u.bbox.left + u.bbox.width) return;
    u.ctx.save(); u.ctx.strokeStyle = ink; u.ctx.setLineDash([4, 4]); u.ctx.beginPath(); u.ctx.moveTo(x, top); u.ctx.lineTo(x, bottom); u.ctx.stroke(); u.ctx.restore();
  }] } };
  function plot(title, note, data, kind, options = {}) {
    const names = Object.keys(data).filter(n => n !== "at");
    if (!data.at.length) return;
    const box = make("div", undefined, holder, "plot");
    make("h2", title, box); make("p", note, box);
    const log = options.log, show = unit[kind];
    const values = names.map(n => log ? data[n].map(v => v === null || v <= 0 ? null : v) : data[n]);
    const x = options.category ? data.at.map((_, i) => i) : data.at;
    const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line } };
    const u = new uPlot({
      width: box.clientWidth - 30, height: 260, plugins: [marks],
      scales: { x: { time: false }, y: { distr: log ? 3 : 1, range: log ? undefined : (_, lo, hi) => [0, Math.max(hi * 1.05, options.least || 1)] } },
      series: [{ label: options.category ? "percentile" : "second", value: (_, v) => v === null ? "" : options.category ? data.at[v] + " %" : number(v, 1) + " s" },
        ...names.map((n, i) => ({ label: n, stroke: colours[i % colours.length], width: 2, spanGaps: false, points: { show: data.at.length < 25 }, value: (_, v) => v === null ? "" : show(v) }))],
      axes: [{ ...axis, values: (_, v) => v.map(t => options.category ? (data.at[t] === undefined ? "" : data.at[t] + "") : t + " s"), ...(options.category ? { splits: () => x, rotate: -45, size: 56 } : {}) },
             { ...axis, ...(log ? { grid: { ...axis.grid, filter: (_, v) => v.map(t => Math.log10(t) % 1 === 0 ? t : null) }, ticks: { ...axis.ticks, filter: (_, v) => v.map(t => Math.log10(t) % 1 === 0 ? t : null) } } : {}), size: 76, values: (_, v) => v.map(t => t === null ? "" : show(t)) }],
    }, [x, ...values], box);
    u.marks = !options.category; u.redraw(false);
    drawn.push([u, box]);
  }
  plot("Throughput by stage", "Commands accepted and decided, commits in PostgreSQL, a second. Dashed: the last post; behind it the drain.", plots.rates, "n");
  plot("Latency of posts, second by second", "From the moment a post was due to its answer, by when it was answered: a stall shows at its full length.", plots.latency, "ms", { log: true });
  plot("Lag of the projectors", "Age of the oldest stored commit that PostgreSQL or the cache lacks.", plots.lag, "s");
  plot("Backlogs", "Commands before the worker, commits before PostgreSQL.", plots.backlogs, "n");
  plot("Latency percentiles", "Of all posts and of the sampled reads, from the moment each was due.", plots.percentiles, "ms", { log: true, category: true });
  plot("CPU by role", "Cores in use.", plots.cpu, "cores", { least: 0.1 });
  plot("Queue depths", "Messages in each queue, visible and in flight; a message carries many commands.", plots.queues, "n");
  plot("Memory by role", "Resident.", plots.memory, "mb");
  document.documentElement.dataset.drawn = drawn.length;
  addEventListener("resize", () => drawn.forEach(([u, box]) => u.setSize({ width: box.clientWidth - 30, height: 260 })));

  const tables = document.getElementById("tables");
  function table(title, heads, rows) {
    const box = make("div", undefined, tables, "table");
    make("h2", title, box);
    const t = make("table", undefined, box), head = make("tr", undefined, make("thead", undefined, t)), body = make("tbody", undefined, t);
    heads.forEach(each => make("th", each, head).scope = "col");
    rows.forEach(row => { const tr = make("tr", undefined, body); row.forEach(each => make("td", each, tr)); });
  }
  const per = n => report.accepted ? n / report.accepted : 0;
  table("What became of the posts", ["", "commands"], ["posted", "accepted", "refused", "applied", "rejected", "failed", "projected"].map(n => [n, number(report[n])]));
  table("Latency", ["", "p50", "p90", "p99", "max"], Object.entries(report.latency_ms).map(([n, f]) => [n === "read" ? "read, with a token" : "post to " + n, ms(f.p50), ms(f.p90), ms(f.p99), ms(f.max)]));
  table("Cost and CPU by hop", ["", "CPU a command", "requests per 1,000", "peak memory"], Object.entries(report.cpu_ms).map(([role, cpu]) => [role, number(per(cpu) * 1000, 0) + " µs",
    number(per(Object.values(report.requests_by_role[role] || {}).reduce((a, b) => a + b, 0)) * 1000, 1), number(report.peak_rss_mb[role]) + " MB"]));
  table("AWS requests", ["", "requests", "per 1,000"], Object.entries(report.requests).map(([n, c]) => [n, number(c), number(report.requests_by_call_per_1000[n], 2)]));
  table("Dollars per million commands", ["", "$"], Object.entries(report.dollars).map(([n, d]) => [({ total: "total, as AWS bills it", as_run: "total as run on this backend", floor: "floor: the write units alone" })[n] || n, number(per(d) * 1e6, 3)]));
  if (report.generator) table("The generator", ["", ""], [["processes", number(report.generator.processes)], ["CPU a command", number(report.generator.cpu_ms_per_command * 1000) + " µs"],
    ["posts that left late by its fault", number(report.generator.late_share * 100, 2) + " %"], ["posts repeated", number(report.repeats)], ...Object.entries(report.errors).map(([n, c]) => ["answers " + n, number(c)])]);
  table("Versions", ["", ""], Object.entries(report.versions));
})();
