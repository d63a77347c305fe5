/**
 * A node's lasting secrets and the file that keeps them, `keys.json`: the identity, without which it is another node, and the
 * Noise key, which is never rotated (05-mixnode §5.1). The Sphinx keys, which are, have a file of their own.
 */
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fromHex, MixError, type Random, toHex } from '@mixwright/runtime'
import { writeFileAtomically } from '@mixwright/runtime/node'
import type { CryptoProvider } from '@mixwright/sphinx'
import { z } from 'zod'

export interface NodeKeys {
  /** Ed25519: seed and public key, 32 bytes each. */
  readonly identitySeed: Uint8Array
  readonly identityKey: Uint8Array
  /** X25519 of Noise: secret and public key, 32 bytes each. */
  readonly noiseSecret: Uint8Array
  readonly noiseKey: Uint8Array
}

const secret = z.string().regex(/^[0-9a-f]{64}$/)
const keyFile = z.strictObject({
  identitySeed: secret,
  noiseSecret: secret.optional(),
  /** Where releases before key rotation kept the one Sphinx key. */
  sphinx: z.strictObject({ rotationId: z.int().min(0).max(0xffff_ffff), secret }).optional(),
})

/** Draw fresh keys. */
export function createNodeKeys(crypto: CryptoProvider, random: Random): NodeKeys {
  return completeKeys(crypto, random.bytes(32), random.bytes(32))
}

/**
 * Read the keys of `path`, or draw them and write the file (mode 0600) when there is none. A file of a release before key
 * rotation is completed, and its Sphinx key moves to `sphinx-keys.json` beside it.
 * Errors: `MIX_KEY_FILE` when the file is there and unreadable (never overwritten), `MIX_FILE_WRITE`.
 */
export function loadOrCreateNodeKeys(path: string, crypto: CryptoProvider, random: Random): NodeKeys {
  if (!existsSync(path)) {
    const keys = createNodeKeys(crypto, random)
    write(path, keys)
    return keys
  }
  const stored = read(path)
  const keys = completeKeys(
    crypto,
    fromHex(stored.identitySeed),
    stored.noiseSecret === undefined ? random.bytes(32) : fromHex(stored.noiseSecret),
  )
  if (stored.sphinx !== undefined) {
    const sphinxPath = join(dirname(path), SPHINX_KEY_FILE)
    if (!existsSync(sphinxPath)) {
      writeFileAtomically(sphinxPath, `${JSON.stringify({ primary: stored.sphinx, secondary: null }, null, 2)}\n`)
    }
  }
  if (stored.noiseSecret === undefined || stored.sphinx !== undefined) write(path, keys)
  return keys
}

/** Name of the Sphinx keys' file, in the same directory. */
export const SPHINX_KEY_FILE = 'sphinx-keys.json'

function write(path: string, { identitySeed, noiseSecret }: NodeKeys): void {
  const content = { identitySeed: toHex(identitySeed), noiseSecret: toHex(noiseSecret) }
  writeFileAtomically(path, `${JSON.stringify(content, null, 2)}\n`)
}

function read(path: string): z.infer<typeof keyFile> {
  try {
    return keyFile.parse(JSON.parse(readFileSync(path, 'utf8')))
  } catch (cause) {
    throw new MixError('MIX_KEY_FILE', `The key file ${path} cannot be read; it is left as it is.`, {
      kind: 'local',
      data: { path },
      cause,
    })
  }
}

function completeKeys(crypto: CryptoProvider, identitySeed: Uint8Array, noiseSecret: Uint8Array): NodeKeys {
  return {
    identitySeed,
    identityKey: crypto.ed25519PublicKey(identitySeed),
    noiseSecret,
    noiseKey: crypto.x25519Base(noiseSecret),
  }
}
