/**
 * Scores of nodes from probes that went over several of them (03-directory §18). Pure: ways and outcomes in, a score per node
 * out.
 *
 * A lost probe says that some node of its way lost it, not which. Each loss is laid at the nodes of its way in proportion to how
 * much each is under suspicion, and a node's suspicion is the share of its probes that is laid at it; from equal suspicion, this
 * is repeated until little moves (expectation maximisation for one culprit in each loss). A node whose other probes came home
 * is cleared by them, and its loss falls on the other. With n probes over a node, of which b are laid at it,
 *
 *     score = (n − b + 1) / (n + 1)
 *
 * which is the delivered fraction, smoothed by one probe that was delivered, so that a new node begins with 1.
 */

/** Probes of one way: when, Unix milliseconds, over which nodes, by identity, how many, and how many of them came home. */
export type ProbeGroup = [atMs: number, nodes: string[], sent: number, home: number]

/** How far back probes count, milliseconds. */
const WINDOW_MS = 3_600_000
/** Groups that are kept; the oldest go first. An hour of a network of some thousand nodes. */
export const MOST_GROUPS = 100_000
const ROUNDS = 30
/** Groups that outlive a restart. */
const KEPT_GROUPS = 5_000

export interface ProbeCounts {
  readonly sent: number
  readonly home: number
  readonly score: number
}

export class ProbeScores {
  #groups: ProbeGroup[]
  #counts: ReadonlyMap<string, ProbeCounts>

  constructor(groups: readonly ProbeGroup[] = []) {
    this.#groups = [...groups]
    this.#counts = probeCounts(this.#groups)
  }

  /** In [0, 1]; 1 for a node (base58) that nobody has probed. */
  scoreOf(identity: string): number {
    return this.#counts.get(identity)?.score ?? 1
  }

  /** Raw counts and score by node. */
  get counts(): ReadonlyMap<string, ProbeCounts> {
    return this.#counts
  }

  /** What came of a round of probes. */
  add(round: readonly ProbeGroup[], nowMs: number): void {
    const recent = [...this.#groups, ...round].filter(([atMs]) => atMs > nowMs - WINDOW_MS && atMs <= nowMs)
    this.#groups = recent.slice(-MOST_GROUPS)
    this.#counts = probeCounts(this.#groups)
  }

  /** For the disk: the newest, which are enough to go on from. */
  entries(): ProbeGroup[] {
    return this.#groups.slice(-KEPT_GROUPS)
  }
}

/** Counts and score of every node that was probed. */
export function probeCounts(groups: readonly ProbeGroup[]): ReadonlyMap<string, ProbeCounts> {
  const nodes = new Map<string, { sent: number; home: number; suspicion: number; blame: number }>()
  for (const [, way, sent, home] of groups) {
    for (const id of way) {
      const node = nodes.get(id)
      if (node === undefined) nodes.set(id, { sent, home, suspicion: 1, blame: 0 })
      else {
        node.sent += sent
        node.home += home
      }
    }
  }
  const losses = groups.flatMap(([, way, sent, home]) => {
    return sent > home ? [{ lost: sent - home, way: way.map((id) => nodes.get(id)!) }] : []
  })
  for (let round = 0; round < ROUNDS && losses.length > 0; round++) {
    for (const node of nodes.values()) node.blame = 0
    for (const { lost, way } of losses) {
      const total = way.reduce((sum, { suspicion }) => sum + suspicion, 0)
      for (const node of way) node.blame += (lost * node.suspicion) / total
    }
    let moved = 0
    for (const node of nodes.values()) {
      const suspicion = node.blame / node.sent
      moved = Math.max(moved, Math.abs(suspicion - node.suspicion))
      node.suspicion = suspicion
    }
    if (moved < 1e-3) break
  }
  return new Map(
    [...nodes].map(([id, { sent, home, blame }]) => [id, { sent, home, score: (sent - blame + 1) / (sent + 1) }]),
  )
}
