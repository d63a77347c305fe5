/**
 * The crypto providers of Node.js, `#crypto` of this package without a bundler: each is loaded only when it is chosen.
 * `providers-browser.ts` stands in its place where the `browser` condition holds.
 */
import type { CryptoProvider } from './provider.js'

export const PROVIDERS: Readonly<Record<string, () => Promise<CryptoProvider>>> = {
  'sodium-native': () => import('./sodium-native.js').then((module) => module.sodiumNative()),
  'libsodium-wasm': () => import('./libsodium-wasm.js').then((module) => module.libsodiumWasm()),
  noble: () => import('./noble.js').then((module) => module.noble()),
}
