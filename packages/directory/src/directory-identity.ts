/**
 * What a directory is for all its life (03-directory §18): its Ed25519 key and the schedule of its epochs, in `directory.json`,
 * mode 0600. Written once. A damaged one is an error and left as it is: another key would be another directory, another genesis
 * would turn epochs back.
 */
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fromHex, MixError, type Random, toHex } from '@mixwright/runtime'
import { writeFileAtomically } from '@mixwright/runtime/node'
import type { CryptoProvider } from '@mixwright/sphinx'
import { encodeBase58 } from '@mixwright/wire'
import { z } from 'zod'
import { checkSchedule, type EpochSchedule } from './epoch.js'

/** A schedule to be completed: the genesis is the moment of the first start when it is not said. */
export type WishedSchedule = Omit<EpochSchedule, 'genesisMs'> & { readonly genesisMs?: number }

export interface DirectoryIdentity {
  /** Ed25519 seed, 32 bytes. */
  readonly seed: Uint8Array
  /** Ed25519 public key, base58. */
  readonly key: string
  readonly schedule: EpochSchedule
}

const FILE = 'directory.json'

const fileSchema = z.strictObject({
  identitySeed: z.string().regex(/^[0-9a-f]{64}$/),
  genesisMs: z.int().min(0),
  durationMs: z.int().min(1),
  validityEpochs: z.int().min(1),
})

/** A key and a schedule that nothing keeps. Error: `MIX_OPTIONS`. */
export function newIdentity(
  crypto: CryptoProvider,
  random: Random,
  nowMs: number,
  wished: WishedSchedule,
): DirectoryIdentity {
  const schedule = { ...wished, genesisMs: wished.genesisMs ?? Math.floor(nowMs) }
  checkSchedule(schedule)
  return identityOf(crypto, random.bytes(32), schedule)
}

/**
 * Read the identity in the state directory `path`, or found it there. Errors: `MIX_KEY_FILE` (damaged), `MIX_FILE_WRITE`,
 * `MIX_OPTIONS` (a schedule that does not work, or another than the directory was founded with).
 */
export function loadOrCreateIdentity(
  path: string,
  crypto: CryptoProvider,
  random: Random,
  nowMs: number,
  wished: WishedSchedule,
): DirectoryIdentity {
  const file = join(path, FILE)
  if (!existsSync(file)) {
    const identity = newIdentity(crypto, random, nowMs, wished)
    mkdirSync(path, { recursive: true, mode: 0o700 })
    const content = { identitySeed: toHex(identity.seed), ...identity.schedule }
    writeFileAtomically(file, `${JSON.stringify(content, null, 2)}\n`)
    return identity
  }
  const { identitySeed, ...schedule } = read(file)
  checkSchedule(schedule)
  for (const name of ['genesisMs', 'durationMs', 'validityEpochs'] as const) {
    if (wished[name] === undefined || wished[name] === schedule[name]) continue
    const message = `The directory in ${path} was founded with ${name} ${schedule[name]}, not ${wished[name]}; that cannot be changed.`
    throw new MixError('MIX_OPTIONS', message, { kind: 'usage', data: { name, has: schedule[name] } })
  }
  return identityOf(crypto, fromHex(identitySeed), schedule)
}

function read(file: string): z.infer<typeof fileSchema> {
  try {
    return fileSchema.parse(JSON.parse(readFileSync(file, 'utf8')))
  } catch (cause) {
    const message = `The key file ${file} cannot be read; it is left as it is.`
    throw new MixError('MIX_KEY_FILE', message, { kind: 'local', data: { path: file }, cause })
  }
}

function identityOf(crypto: CryptoProvider, seed: Uint8Array, schedule: EpochSchedule): DirectoryIdentity {
  const { genesisMs, durationMs, validityEpochs } = schedule
  const key = encodeBase58(crypto.ed25519PublicKey(seed))
  return { seed, key, schedule: { genesisMs, durationMs, validityEpochs } }
}
