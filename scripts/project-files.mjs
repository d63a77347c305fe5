// Which files make up the projects of this repository: what the build reads, and where the tests are.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, sep } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The repository's directory. */
export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)))

/** The client for browsers in one file, relative to the root. */
export const BUNDLE = join('packages', 'client', 'dist', 'src', 'bundle', 'mixwright-client.js')

/** Paths of the TypeScript projects, relative to the root, as tsconfig.json lists them. */
export function projects() {
  return JSON.parse(readFileSync(join(ROOT, 'tsconfig.json'), 'utf8')).references.map(({ path }) => path)
}

/** Everything that a build depends on, relative to the root. */
export function buildInputs() {
  const inputs = ['package-lock.json', 'tsconfig.json', 'tsconfig.base.json', join('scripts', 'bundle.mjs')]
  for (const project of projects()) {
    inputs.push(join(project, 'package.json'), join(project, 'tsconfig.json'))
    for (const room of ['src', 'test'])
      inputs.push(...filesUnder(join(project, room)).filter((path) => path.endsWith('.ts')))
  }
  return inputs
}

/** The test files, as their TypeScript source and the compiled file, relative to the root. */
export function testFiles() {
  return filesOfTests('.test.ts')
}

/** The same of the soaks: tests that take minutes. */
export function soakFiles() {
  return filesOfTests('.soak.ts')
}

function filesOfTests(ending) {
  return projects()
    .flatMap((project) => filesUnder(join(project, 'test')).map((source) => ({ project, source })))
    .filter(({ source }) => source.endsWith(ending))
    .map(({ project, source }) => {
      const inProject = source.slice(project.length + 1)
      return { source: slashes(source), compiled: join(project, 'dist', `${inProject.slice(0, -'.ts'.length)}.js`) }
    })
}

/** Files below a directory given relative to the root, sorted; none if it is missing. */
function filesUnder(directory) {
  if (!existsSync(join(ROOT, directory))) return []
  return readdirSync(join(ROOT, directory), { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const path = join(directory, entry.name)
      return entry.isDirectory() ? filesUnder(path) : [path]
    })
}

function slashes(path) {
  return path.split(sep).join('/')
}
