/** From the options of the command line to a running directory: the one place that knows how a directory is started. */
import { probeDoors } from '@mixwright/client/probe'
import {
  AuthorityDirectory,
  Directory,
  type DirectoryIdentity,
  nodeEntryOf,
  type RegistrationPolicy,
} from '@mixwright/directory'
import { type Clock, type Logger, MemoryMetrics, SystemRandom } from '@mixwright/runtime'
import { loadCryptoProvider } from '@mixwright/sphinx'
import type { DataHome } from '../data-home.js'
import { type DirectoryOptions, scheduleOf, splitAuthority } from './directory-options.js'

export interface RunningDirectory extends Pick<DirectoryIdentity, 'key' | 'schedule'> {
  readonly port: number
  close(): Promise<void>
}

/** Between two rounds of probes, milliseconds. */
const PROBE_MS = 60_000

/** Errors: those of `Directory.start` and `AuthorityDirectory.start`; `MIX_OPTIONS` for a node that is none. */
export async function startDirectory(
  home: DataHome,
  options: DirectoryOptions,
  clock: Clock,
  logger: Logger,
): Promise<RunningDirectory> {
  const nodes = options.nodes.map((url) => nodeEntryOf(url, '--nodes'))
  const { threshold } = options
  const authorities = options.authority.map(splitAuthority)
  const crypto = await loadCryptoProvider(options.crypto)
  const random = new SystemRandom()
  const common = {
    clock,
    random,
    logger,
    metrics: new MemoryMetrics(),
    crypto,
    listen: { host: options.host, port: options.port },
    nodes: [],
    epoch: scheduleOf(options),
    stateDirectory: home.path,
    publicUrl: options.url,
    metricsToken: options.metricsToken,
    registration: policyOf(options),
    allowLocalAddresses: options.allowLocalAddresses,
    ...(options.probing && { probing: { intervalMs: PROBE_MS, open: probeDoors({ clock, random, crypto }) } }),
  }
  const running =
    authorities.length === 0
      ? await Directory.start(common)
      : await AuthorityDirectory.start({ ...common, authorities, threshold })
  const directory = running instanceof Directory ? running : running.directory
  for (const node of nodes) void directory.join(node)
  const { url, identityKey, schedule } = directory
  return { key: identityKey, schedule, port: Number(new URL(url).port), close: () => running.close() }
}

function policyOf({ registration, allow, tokens }: DirectoryOptions): RegistrationPolicy {
  if (registration === 'open') return { kind: 'open' }
  return registration === 'token' ? { kind: 'token', tokens } : { kind: 'allow-list', identities: allow }
}
