# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Embeds schema/ into schema.h and schema.c at build time.
#   migrations/NNNN_name.sql  become pl_schema_migrations[], in the order of their numbers, starting at 0001
#   views.sql                 becomes pl_schema_views
#   statements/*.sql, queries/*.sql hold named statements: a line "-- name: foo_bar" starts one, and it runs to the
#   next such line. Each becomes PL_SQL_FOO_BAR in enum pl_sql and an entry of pl_schema_sql[]. Names are unique.
cmake_minimum_required(VERSION 3.25)

# C string literal, one source line each, so that no compiler limit on literal length is met by a single line.
function(c_literal text out)
  string(REPLACE "\\" "\\\\" text "${text}")
  string(REPLACE "\"" "\\\"" text "${text}")
  string(REPLACE "\n" "\\n\"\n    \"" text "${text}")
  set(${out} "\"${text}\"" PARENT_SCOPE)
endfunction()

# file(READ) keeps ; and [ ] alone as long as the text is never treated as a list.
set(body "/* Made from schema/ by embed_sql.cmake: edit the SQL, not this. */\n#include \"schema/schema.h\"\n\n")
file(GLOB migrations ${SCHEMA_DIR}/migrations/*.sql)
list(SORT migrations)
set(number 0)
set(table "")
foreach(file IN LISTS migrations)
  math(EXPR number "${number} + 1")
  get_filename_component(base ${file} NAME_WE)
  string(REGEX MATCH "^[0-9]+" prefix ${base})
  string(REGEX REPLACE "^0+" "" prefix ${prefix})
  if(NOT prefix EQUAL number)
    message(FATAL_ERROR "schema/migrations: ${base} should be number ${number}: the numbers have no holes")
  endif()
  file(READ ${file} text)
  c_literal("${text}" literal)
  string(APPEND table "    ${literal},\n")
endforeach()
string(APPEND body "const char *const pl_schema_migrations[PL_SCHEMA_VERSION] = {\n${table}};\n\n")
file(READ ${SCHEMA_DIR}/views.sql text)
c_literal("${text}" literal)
string(APPEND body "const char *const pl_schema_views =\n    ${literal};\n\n")

set(enumerators "")
set(entries "")
set(seen "|")
file(GLOB files ${SCHEMA_DIR}/statements/*.sql ${SCHEMA_DIR}/queries/*.sql)
list(SORT files)
foreach(file IN LISTS files)
  file(READ ${file} rest)
  while(TRUE)
    string(FIND "${rest}" "-- name: " at)
    if(at EQUAL -1)
      break()
    endif()
    math(EXPR at "${at} + 9")
    string(SUBSTRING "${rest}" ${at} -1 rest)
    string(FIND "${rest}" "\n" end)
    string(SUBSTRING "${rest}" 0 ${end} name)
    string(STRIP "${name}" name)
    if(NOT name MATCHES "^[a-z][a-z0-9_]*$")
      message(FATAL_ERROR "${file}: bad statement name '${name}'")
    endif()
    if(seen MATCHES "\\|${name}\\|")
      message(FATAL_ERROR "${file}: statement '${name}' is named twice")
    endif()
    string(APPEND seen "${name}|")
    string(SUBSTRING "${rest}" ${end} -1 rest)
    string(FIND "${rest}" "-- name: " next)
    string(SUBSTRING "${rest}" 0 ${next} text)
    string(STRIP "${text}" text)
    c_literal("${text}" literal)
    string(TOUPPER ${name} upper)
    string(APPEND enumerators "    PL_SQL_${upper},\n")
    string(APPEND entries "    [PL_SQL_${upper}] = {\"${name}\",\n    ${literal}},\n")
  endwhile()
endforeach()
string(APPEND body "const struct pl_schema_sql pl_schema_sql[PL_SQL_COUNT] = {\n${entries}};\n")

file(WRITE ${OUT_DIR}/schema.h "/* Made from schema/ by embed_sql.cmake: edit the SQL, not this. */
#ifndef PL_SCHEMA_H
#define PL_SCHEMA_H

#define PL_SCHEMA_VERSION ${number}

/* Migration i takes a file from user_version i to i + 1. */
extern const char *const pl_schema_migrations[PL_SCHEMA_VERSION];
/* Drops and creates every view; run after the last migration, in the same transaction. */
extern const char *const pl_schema_views;

enum pl_sql {
${enumerators}    PL_SQL_COUNT
};

extern const struct pl_schema_sql {
    const char *name;
    const char *text;
} pl_schema_sql[PL_SQL_COUNT];

#endif
")
file(WRITE ${OUT_DIR}/schema.c "${body}")
