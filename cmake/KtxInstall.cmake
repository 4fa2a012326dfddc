# install() and the exported package: find_package(ktx) gives ktx::ktx.
