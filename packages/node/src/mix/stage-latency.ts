/**
 * Where the time of a packet goes inside the node, by stage, under the official names (05-mixnode §14). Times are handed
 * in as milliseconds, as the clock has them, and shown in seconds. All packets are counted: one costs a search among 17 bounds.
 */
import type { Histogram, Metrics } from '@mixwright/runtime'

/** Upper ends in seconds: 0.1 ms doubled sixteen times, to 6.5536 s. */
export const LATENCY_BOUNDS: readonly number[] = Array.from({ length: 17 }, (_, n) => 2 ** n / 10_000)

export class StageLatency {
  readonly #unwrap: Histogram
  readonly #replayCheck: Histogram
  readonly #forwarderQueue: Histogram
  readonly #delayQueue: Histogram
  readonly #delayQueueOverrun: Histogram
  readonly #egressQueue: Histogram
  readonly #socketWrite: Histogram
  readonly #total: Histogram

  constructor(metrics: Metrics) {
    const stage = (name: string, help: string) =>
      metrics.histogram(`mixnet_packet_stage_${name}_seconds`, help, LATENCY_BOUNDS)
    this.#unwrap = stage('unwrap', 'From the batch of a packet being handed to cryptography until it is peeled')
    this.#replayCheck = stage('replay_check', 'Looking for the replay tag and setting it')
    this.#forwarderQueue = stage('forwarder_queue', 'From arrival until the packet is taken up')
    this.#delayQueue = stage('delay_queue', 'In the delay wheel, the delay drawn by the sender included')
    this.#delayQueueOverrun = stage('delay_queue_overrun', 'Leaving the delay wheel later than the sender drew')
    this.#egressQueue = stage('egress_queue', 'Waiting for the connection to the next hop')
    this.#socketWrite = stage('socket_write', 'From the write until the operating system took it')
    this.#total = metrics.histogram(
      'mixnet_packet_total_latency_seconds',
      'From arrival until the operating system took the packet, less the delay drawn by the sender',
      LATENCY_BOUNDS,
    )
  }

  unwrap(ms: number): void {
    this.#unwrap.observe(ms / 1000)
  }

  replayCheck(ms: number): void {
    this.#replayCheck.observe(ms / 1000)
  }

  forwarderQueue(ms: number): void {
    this.#forwarderQueue.observe(ms / 1000)
  }

  delayQueue(ms: number): void {
    this.#delayQueue.observe(ms / 1000)
  }

  delayQueueOverrun(ms: number): void {
    this.#delayQueueOverrun.observe(ms / 1000)
  }

  egressQueue(ms: number): void {
    this.#egressQueue.observe(ms / 1000)
  }

  socketWrite(ms: number): void {
    this.#socketWrite.observe(ms / 1000)
  }

  total(ms: number): void {
    this.#total.observe(ms / 1000)
  }
}
