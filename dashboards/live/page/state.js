// What is shown, kept in the address so that a link shows the same: time, choices, one panel.

export class State {
  constructor(board) {
    this.board = board;
    this.read();
  }

  read() {
    const given = new URLSearchParams(location.search);
    this.span = { from: given.get("from") ?? this.board.time.from, to: given.get("to") ?? this.board.time.to };
    this.pace = given.get("refresh") ?? this.board.refresh ?? "off";
    this.panel = Number(given.get("viewPanel")?.replace("panel-", "")) || null;
    this.chosen = Object.fromEntries(this.variables.map((one) => {
      const values = given.getAll(`var-${one.name}`).map((each) => (each === "All" ? "$__all" : each));
      return [one.name, values.length ? values : [one.current.value ?? []].flat()];
    }));
  }

  get variables() {
    return this.board.templating.list.filter((one) => one.type !== "datasource");
  }

  // The address of this state, or of another board or panel in the same time and choices.
  address({ uid = this.board.uid, panel = this.panel, only = null } = {}) {
    const said = new URLSearchParams();
    if (panel) said.set("viewPanel", panel);
    const moved = this.span.from !== this.board.time.from || this.span.to !== this.board.time.to;
    if (moved) { said.set("from", this.span.from); said.set("to", this.span.to); }
    if (this.pace !== (this.board.refresh ?? "off")) said.set("refresh", this.pace);
    for (const one of this.variables) {
      const kept = only === null || only.includes(one.name);
      const usual = [one.current.value ?? []].flat().join();
      if (kept && this.chosen[one.name].join() !== usual) this.chosen[one.name].forEach((each) => said.append(`var-${one.name}`, each));
    }
    const query = said.toString();
    return `${uid === "home" ? "/" : `/d/${uid}`}${query ? `?${query}` : ""}`;
  }

  // Jobs and instances of servers are not those of exporters, so they stay behind between those boards.
  link(uid) {
    const apart = [uid, this.board.uid].includes("lightmeter-fleet");
    return this.address({ uid, panel: null, only: apart ? ["service", "model"] : null });
  }

  write(push = true) {
    if (this.address() === location.pathname + location.search) return;
    history[push ? "pushState" : "replaceState"](null, "", this.address());
  }
}
