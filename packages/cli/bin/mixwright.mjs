#!/usr/bin/env node
// The `mixwright` command. In a checkout it first installs and builds what is missing or out of date; the published
// package has neither a tsconfig.json beside it nor anything to build.
import { existsSync } from 'node:fs'

if (existsSync(new URL('../tsconfig.json', import.meta.url))) {
  const { prepare } = await import('../../../scripts/prepare.mjs')
  await prepare()
}
const { main } = await import('../dist/src/main.js')
process.exitCode = await main(process.argv.slice(2))
