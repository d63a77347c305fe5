/**
 * A node's long-lived secrets and the file that keeps them. Losing the identity means being another node; losing the
 * Sphinx key means losing every packet under way.
 */
import { existsSync, readFileSync } from 'node:fs'
import { fromHex, MixError, type Random, toHex } from '@mixwright/runtime'
import { writeFileAtomically } from '@mixwright/runtime/node'
import type { CryptoProvider } from '@mixwright/sphinx'
import { z } from 'zod'
import type { SphinxKey } from './mix/sphinx-keys.js'

export interface NodeKeys {
  /** Ed25519: seed and public key, 32 bytes each. */
  readonly identitySeed: Uint8Array
  readonly identityKey: Uint8Array
  readonly sphinx: SphinxKey
}

const secret = z.string().regex(/^[0-9a-f]{64}$/)
const keyFile = z.strictObject({
  identitySeed: secret,
  sphinx: z.strictObject({ rotationId: z.int().min(0).max(0xffff_ffff), secret }),
})

/** Draw fresh keys; the Sphinx key is tagged with `rotationId`. */
export function createNodeKeys(crypto: CryptoProvider, random: Random, rotationId: number): NodeKeys {
  return completeKeys(crypto, random.bytes(32), rotationId, random.bytes(32))
}

/**
 * Read the keys of `path`, or draw them and write the file (mode 0600) when there is none.
 * Errors: `MIX_KEY_FILE` when the file is there and unreadable (never overwritten), `MIX_FILE_WRITE`.
 */
export function loadOrCreateNodeKeys(
  path: string,
  crypto: CryptoProvider,
  random: Random,
  rotationId: number,
): NodeKeys {
  if (existsSync(path)) return readNodeKeys(path, crypto)
  const keys = createNodeKeys(crypto, random, rotationId)
  const content = {
    identitySeed: toHex(keys.identitySeed),
    sphinx: { rotationId, secret: toHex(keys.sphinx.secret) },
  }
  writeFileAtomically(path, `${JSON.stringify(content, null, 2)}\n`)
  return keys
}

function readNodeKeys(path: string, crypto: CryptoProvider): NodeKeys {
  try {
    const content = keyFile.parse(JSON.parse(readFileSync(path, 'utf8')))
    const { rotationId, secret } = content.sphinx
    return completeKeys(crypto, fromHex(content.identitySeed), rotationId, fromHex(secret))
  } catch (cause) {
    throw new MixError('MIX_KEY_FILE', `The key file ${path} cannot be read; it is left as it is.`, {
      kind: 'local',
      data: { path },
      cause,
    })
  }
}

function completeKeys(
  crypto: CryptoProvider,
  identitySeed: Uint8Array,
  rotationId: number,
  sphinxSecret: Uint8Array,
): NodeKeys {
  return {
    identitySeed,
    identityKey: crypto.ed25519PublicKey(identitySeed),
    sphinx: { rotationId, secret: sphinxSecret, publicKey: crypto.x25519Base(sphinxSecret) },
  }
}
