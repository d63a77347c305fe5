/** The salts, infos and lengths of Sphinx's two key derivations (01-sphinx §4.2, §4.3), for every crypto provider. */
import { utf8 } from '@mixwright/runtime'

/** HKDF-SHA256 as Sphinx uses it: everything but the key material is fixed. */
export interface KdfLabel {
  readonly salt: Uint8Array
  readonly info: Uint8Array
  readonly outputBytes: number
}

/** From a hop's shared secret (32 bytes) to all its keys. */
export const HOP_KEYS: KdfLabel = {
  salt: new Uint8Array(0),
  info: utf8('Dwste mou enan moxlo arketa makru kai ena upomoxlio gia na ton topothetisw kai tha kinisw thn gh.'),
  outputBytes: 288,
}

/** From a payload key seed (16 bytes) to a LIONESS key. */
export const PAYLOAD_KEY: KdfLabel = {
  salt: utf8('sphinx-payload-key-V01-CS01-HKDF:SHA256-SALT'),
  info: utf8('sphinx-payload-key-V01-CS01-HKDF:SHA256-INFO'),
  outputBytes: 192,
}
