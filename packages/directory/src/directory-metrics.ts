/** What an operator sees of a directory: how many nodes, of when the lists are, and what should not be so. */
import type { Clock, Metrics } from '@mixwright/runtime'
import type { Snapshot } from './document/snapshot.js'
import type { Epoch } from './epoch.js'
import type { NodeRegistry } from './nodes/node-registry.js'

/** What should not happen, and what the directory does then. */
export type Alarm =
  /** The network cannot be routed: the last lists that could be stay. */
  | 'not-routable'
  /** The clock was set back by more than an epoch: epochs follow it. */
  | 'clock-set-back'
  /** The state file is damaged: it was set aside, and the directory began without. */
  | 'state-damaged'
  /** The state file cannot be written: it goes on without. */
  | 'state-not-saved'

export interface MetricsSource {
  readonly clock: Clock
  readonly registry: NodeRegistry
  epoch(): Epoch
  snapshot(): Snapshot | undefined
  /** Whether the network as it was last read can be routed. */
  routable(): boolean
}

export class DirectoryMetrics {
  readonly #metrics: Metrics

  constructor(metrics: Metrics, { clock, registry, epoch, snapshot, routable }: MetricsSource) {
    this.#metrics = metrics
    const nodes = (state: string, count: () => number) =>
      metrics.gauge('mixwright_directory_nodes', 'Nodes known, by state', { state }, count)
    nodes('listed', () => snapshot()?.nodes.length ?? 0)
    nodes('refused', () => registry.refusals.length)
    nodes('waiting', () => [...registry.records].filter(({ waiting }) => waiting).length)
    metrics.gauge('mixwright_directory_epoch', 'Absolute id of the running epoch', {}, () => epoch().id)
    metrics.gauge('mixwright_directory_rotation', 'Id of the running key rotation', {}, () => epoch().rotationId)
    metrics.gauge(
      'mixwright_directory_document_age_seconds',
      'Since the lists were last made of fresh readings',
      {},
      () => {
        const current = snapshot()
        return current === undefined ? 0 : Math.max(0, (clock.now() - current.refreshedAtMs) / 1000)
      },
    )
    metrics.gauge(
      'mixwright_directory_not_routable',
      '1 while the network cannot be routed as it was last read, and the last good lists stay',
      {},
      () => (routable() ? 0 : 1),
    )
  }

  alarm(alarm: Alarm): void {
    this.#metrics.counter('mixwright_directory_alarms_total', 'What should not happen, by kind', { alarm }).increment()
  }
}
