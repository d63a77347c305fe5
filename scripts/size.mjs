// `npm run size`: how large the client is in a browser, whole and in parts. Exit code 1 when the whole is over the limit.
import './require-node.mjs'

const { readFileSync } = await import('node:fs')
const { join } = await import('node:path')
const { brotliCompressSync, gzipSync } = await import('node:zlib')
const { prepare } = await import('./prepare.mjs')
const { BUNDLE, ROOT } = await import('./project-files.mjs')

/** Most bytes of the whole library, compressed by gzip. */
const LIMIT_BYTES = 250_000

/** What a bundler takes when an app imports only this. */
const PARTS = [
  "export { connect } from '@mixwright/client'",
  "export { createFetch } from '@mixwright/client'",
  "export { createTls } from '@mixwright/client/tls'",
  "export { indexedDbStore } from '@mixwright/client'",
  "export { PROFILES } from '@mixwright/client'",
  "export { loadCryptoProvider } from '@mixwright/sphinx'",
  "export { buildPacket } from '@mixwright/sphinx'",
  "export { decodeRecipient } from '@mixwright/wire'",
]

await prepare()
// Loaded only now: before, the bundler may not be installed.
const { bundle } = await import('./bundle.mjs')

const whole = readFileSync(join(ROOT, BUNDLE))
const rows = [[BUNDLE, whole]]
for (const part of PARTS) rows.push([part.replace('export', 'import'), (await bundle(part)).bytes])

console.log(row('bytes', 'raw', 'gzip -9', 'brotli'))
for (const [name, bytes] of rows) console.log(row(name, ...sizes(bytes)))
const gzipped = sizes(whole)[1]
const verdict = gzipped <= LIMIT_BYTES ? 'within' : 'OVER'
console.log(`\n${gzipped} bytes by gzip: ${verdict} the limit of ${LIMIT_BYTES}`)
process.exitCode = gzipped <= LIMIT_BYTES ? 0 : 1

function sizes(bytes) {
  return [bytes.length, gzipSync(bytes, { level: 9 }).length, brotliCompressSync(bytes).length]
}

function row(name, ...cells) {
  return name.padEnd(58) + cells.map((cell) => String(cell).padStart(10)).join('')
}
