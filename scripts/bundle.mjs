// Makes the client's bundle for browsers: one ES module for a plain `<script type="module">`, WebAssembly inside, nothing
// loaded later. `prepare.mjs` calls this after the compiler; `size.mjs` measures with the same settings.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { build } from 'esbuild'
import { BUNDLE, ROOT } from './project-files.mjs'

/** Bundle `code`, which imports packages by name as an app would; gives the bytes and the npm packages inside. */
export async function bundle(code) {
  const { outputFiles, metafile } = await build({
    stdin: { contents: code, resolveDir: join(ROOT, 'packages', 'client') },
    absWorkingDir: ROOT,
    bundle: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    minify: true,
    legalComments: 'none',
    write: false,
    metafile: true,
    logLevel: 'silent',
  })
  const files = Object.entries(Object.values(metafile.outputs)[0].inputs).filter(
    ([, { bytesInOutput }]) => bytesInOutput > 0,
  )
  const names = files.map(([path]) => /^node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1])
  return { bytes: outputFiles[0].contents, packages: [...new Set(names.filter((name) => name !== undefined))].sort() }
}

/** Write the bundle, and beside it the licences of what is in it. */
export async function bundleClient() {
  const { bytes, packages } = await bundle("export * from '@mixwright/client'")
  const target = join(ROOT, BUNDLE)
  mkdirSync(dirname(target), { recursive: true })
  writeFileSync(target, bytes)
  const notices = [`mixwright-client.js is Apache-2.0, and contains the following.\n`, ...packages.map(notice)]
  writeFileSync(join(dirname(target), 'LICENSES.txt'), notices.join('\n'))
}

function notice(name) {
  const directory = join(ROOT, 'node_modules', name)
  const { version } = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8'))
  const file = readdirSync(directory).find((entry) => /^licen[cs]e/i.test(entry))
  if (file === undefined) throw new Error(`${name} has no licence file`)
  return `---- ${name} ${version}\n\n${readFileSync(join(directory, file), 'utf8').trim()}\n`
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await bundleClient()
