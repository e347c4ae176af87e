/** Before each test file: who runs the tests may have an account, and a region of their own, and neither is the tests' business. */
for (const name of Object.keys(process.env)) if (name.startsWith('AWS_')) delete process.env[name]
