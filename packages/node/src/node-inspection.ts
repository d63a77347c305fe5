/** What is on the disk of a node, read without starting it and also while it runs; and the emergency of a copied Sphinx key. */
import { existsSync, readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { SystemRandom } from '@mixwright/runtime'
import type { CryptoProvider } from '@mixwright/sphinx'
import { encodeBase58 } from '@mixwright/wire'
import { type MailboxSizes, mailboxSizes } from './gateway/store/mailbox-sizes.js'
import { loadOrCreateNodeKeys, SPHINX_KEY_FILE } from './keys/node-keys.js'
import { SphinxKeyFile } from './keys/sphinx-key-file.js'

export interface SphinxKeySummary {
  readonly use: 'primary' | 'secondary'
  readonly rotationId: number
  /** Base58. */
  readonly publicKey: string
}

export interface NodeInspection {
  /** Ed25519, base58. */
  readonly identityKey: string
  /** X25519, base58. */
  readonly noiseKey: string
  /** None before the first start. */
  readonly sphinxKeys: readonly SphinxKeySummary[]
  /** Null where there is no mailbox: a mix node, or a gateway before its first start. */
  readonly mailbox: MailboxSizes | null
  /** Bytes of the replay filters on disk. */
  readonly replayBytes: number
}

/**
 * Look into a node's state directory. Errors: `MIX_KEY_FILE` when its keys are unreadable, `MIX_GATEWAY_DATABASE`.
 */
export function inspectNode(stateDirectory: string, crypto: CryptoProvider): NodeInspection {
  const keys = loadOrCreateNodeKeys(join(stateDirectory, 'keys.json'), crypto, new SystemRandom())
  return {
    identityKey: encodeBase58(keys.identityKey),
    noiseKey: encodeBase58(keys.noiseKey),
    sphinxKeys: sphinxKeysOf(stateDirectory, crypto),
    mailbox: mailboxSizes(join(stateDirectory, 'gateway.sqlite')) ?? null,
    replayBytes: readdirSync(stateDirectory)
      .filter((name) => name.startsWith('replay'))
      .reduce((sum, name) => sum + (statSync(join(stateDirectory, name), { throwIfNoEntry: false })?.size ?? 0), 0),
  }
}

/** Throw the Sphinx keys of a stopped node away; it draws new ones at its next start. Returns what there was. Error: `MIX_KEY_FILE`. */
export function discardSphinxKeys(stateDirectory: string, crypto: CryptoProvider): readonly SphinxKeySummary[] {
  const discarded = sphinxKeysOf(stateDirectory, crypto)
  rmSync(join(stateDirectory, SPHINX_KEY_FILE), { force: true })
  return discarded
}

function sphinxKeysOf(stateDirectory: string, crypto: CryptoProvider): readonly SphinxKeySummary[] {
  const path = join(stateDirectory, SPHINX_KEY_FILE)
  const keys = existsSync(path) ? new SphinxKeyFile(path, crypto).read() : undefined
  if (keys === undefined) return []
  const { primary, secondary } = keys
  const present = [['primary', primary] as const, ...(secondary ? [['secondary', secondary] as const] : [])]
  return present.map(([use, { rotationId, publicKey }]) => ({ use, rotationId, publicKey: encodeBase58(publicKey) }))
}
