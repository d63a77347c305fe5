/** What each session of a gateway is handed. */
import type { Clock, Counter, Logger, Metrics, Random } from '@mixwright/runtime'
import type { CryptoProvider } from '@mixwright/sphinx'
import type { MixPacket } from '@mixwright/wire'
import type { ActiveClients } from './active-clients.js'
import type { SessionStatistics } from './session-statistics.js'
import type { ClientStore } from './store/client-store.js'
import type { Mailbox } from './store/mailbox.js'

export interface GatewayServices {
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly metrics: Metrics
  readonly crypto: CryptoProvider
  readonly identitySeed: Uint8Array
  readonly acceptLegacyAuthentication: boolean
  readonly clients: ClientStore
  readonly mailbox: Mailbox
  readonly active: ActiveClients
  readonly statistics: SessionStatistics
  readonly forwarded: Counter
  forward(mixPacket: MixPacket): void
  counted(what: 'registrations' | 'authentications', result: 'accepted' | 'refused'): void
}
