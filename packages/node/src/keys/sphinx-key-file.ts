/**
 * The file of a node's Sphinx keys, `sphinx-keys.json`: primary and, around a rotation, secondary in one file, so that each
 * step of a rotation is one atomic write (05-mixnode §10; official nodes keep them in two files and rename three times).
 */
import { existsSync, readFileSync } from 'node:fs'
import { fromHex, MixError, type Random, toHex } from '@mixwright/runtime'
import { writeFileAtomically } from '@mixwright/runtime/node'
import type { CryptoProvider } from '@mixwright/sphinx'
import { z } from 'zod'
import { type SphinxKey, SphinxKeys } from './sphinx-keys.js'

const storedKey = z.strictObject({
  rotationId: z.int().min(0).max(0xffff_ffff),
  secret: z.string().regex(/^[0-9a-f]{64}$/),
})
const storedKeys = z.strictObject({ primary: storedKey, secondary: storedKey.nullable() })

export class SphinxKeyFile {
  readonly #path: string
  readonly #crypto: CryptoProvider

  constructor(path: string, crypto: CryptoProvider) {
    this.#path = path
    this.#crypto = crypto
  }

  /** What is stored; undefined when there is no file. Error: `MIX_KEY_FILE` when it cannot be read; it is left as it is. */
  read(): SphinxKeys | undefined {
    if (!existsSync(this.#path)) return undefined
    try {
      const { primary, secondary } = storedKeys.parse(JSON.parse(readFileSync(this.#path, 'utf8')))
      return new SphinxKeys(this.#complete(primary), secondary ? this.#complete(secondary) : undefined)
    } catch (cause) {
      throw new MixError('MIX_KEY_FILE', `The key file ${this.#path} cannot be read; it is left as it is.`, {
        kind: 'local',
        data: { path: this.#path },
        cause,
      })
    }
  }

  /** Replace the file, mode 0600. Error: `MIX_FILE_WRITE`; then the old one is whole. */
  write({ primary, secondary }: SphinxKeys): void {
    const stored = ({ rotationId, secret }: SphinxKey) => ({ rotationId, secret: toHex(secret) })
    const content = { primary: stored(primary), secondary: secondary ? stored(secondary) : null }
    writeFileAtomically(this.#path, `${JSON.stringify(content, null, 2)}\n`)
  }

  /** Draw the first key, for the rotation of this id, and write it. */
  create(random: Random, rotationId: number): SphinxKeys {
    const secret = random.bytes(32)
    const keys = new SphinxKeys({ rotationId, secret, publicKey: this.#crypto.x25519Base(secret) })
    this.write(keys)
    return keys
  }

  #complete({ rotationId, secret }: z.infer<typeof storedKey>): SphinxKey {
    const bytes = fromHex(secret)
    return { rotationId, secret: bytes, publicKey: this.#crypto.x25519Base(bytes) }
  }
}
