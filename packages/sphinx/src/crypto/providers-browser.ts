/**
 * The crypto provider of browsers, `#crypto` of this package where the `browser` condition holds: the only one that a
 * bundle contains, imported without a dynamic `import`, so that a bundle is one file.
 */
import { libsodiumWasm } from './libsodium-wasm.js'
import type { CryptoProvider } from './provider.js'

export const PROVIDERS: Readonly<Record<string, () => Promise<CryptoProvider>>> = { 'libsodium-wasm': libsodiumWasm }
