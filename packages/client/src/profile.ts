/**
 * Profiles: how a client trades privacy for speed (04-client §4.15). The numbers of `default` are Nym's; the effect of each
 * other profile stands in its `effect`, which `--help` prints.
 */

export type ProfileName = 'default' | 'fast' | 'no-cover' | 'local'

/** Everything about timing that a sender chooses. Means of exponential distributions, milliseconds. */
export interface Profile {
  readonly name: string
  /** What it costs, in one sentence. */
  readonly effect: string
  /** Mean delay at each mix node, data packets. 0: none. */
  readonly averagePacketDelayMs: number
  /** Mean delay at each mix node, acks. */
  readonly averageAckDelayMs: number
  /** Mean interval of the main stream. 0: no stream, packets leave as they come, and no cover fills the gaps. */
  readonly averageSendingDelayMs: number
  /** Mean interval of loop cover on its own stream. 0: none. */
  readonly averageLoopCoverDelayMs: number
}

export const PROFILES: Readonly<Record<ProfileName, Profile>> = {
  default: {
    name: 'default',
    effect:
      "Nym's defaults: 50 packets a second, cover where there is nothing to say, 15 ms mean delay at each mix node.",
    averagePacketDelayMs: 15,
    averageAckDelayMs: 15,
    averageSendingDelayMs: 20,
    averageLoopCoverDelayMs: 200,
  },
  fast: {
    name: 'fast',
    effect:
      'Five times the throughput at five times the traffic: 250 packets a second, 10 ms mean delay, hardly any separate loop cover. Less mixing, and the higher rate tells that this client is in a hurry.',
    averagePacketDelayMs: 10,
    averageAckDelayMs: 10,
    averageSendingDelayMs: 4,
    averageLoopCoverDelayMs: 2_000_000,
  },
  'no-cover': {
    name: 'no-cover',
    effect:
      'No cover and no Poisson stream: costs nothing when idle, sends at once. Whoever watches the link to the gateway sees when, and how much, this client sends and receives.',
    averagePacketDelayMs: 15,
    averageAckDelayMs: 15,
    averageSendingDelayMs: 0,
    averageLoopCoverDelayMs: 0,
  },
  local: {
    name: 'local',
    effect:
      'No delays, no cover, no stream: for networks on the loopback address only. It protects nobody, and is refused elsewhere.',
    averagePacketDelayMs: 0,
    averageAckDelayMs: 0,
    averageSendingDelayMs: 0,
    averageLoopCoverDelayMs: 0,
  },
}
